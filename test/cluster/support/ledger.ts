import { create } from "@bufbuild/protobuf";
import { type NewEvent, NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";

/** What one producer published: its events are numbered from 1, in the order in which they are to be seen. */
export interface Lane {
  readonly workerId: string;
  /** Whether its events are those of a transcript, whose texts are the numbers. */
  readonly transcript: boolean;
  /** Number of the newest event that was sent. */
  sent: number;
  /** Sequences of the events that were acknowledged, all of them up to the newest one. */
  readonly sequences: number[];
}

/** What ties an event to its lane: the number that it has there. */
export function numberOf({ workerId, correlationId }: { workerId: string; correlationId: string }): number | undefined {
  const [worker, number] = correlationId.split("#");
  return number === undefined || worker !== workerId ? undefined : Number(number);
}

const filler = Buffer.alloc(200, "x");

/** What was published and what of it was acknowledged, for those who watch to be held against. */
export class Ledger {
  readonly lanes = new Map<string, Lane>();

  lane(workerId: string, transcript: boolean): Lane {
    const lane: Lane = { workerId, transcript, sent: 0, sequences: [] };
    this.lanes.set(workerId, lane);
    return lane;
  }

  /** Events that were acknowledged so far. */
  get acknowledged(): number {
    let count = 0;
    for (const { sequences } of this.lanes.values()) count += sequences.length;
    return count;
  }

  /** The next events of a lane. */
  next(lane: Lane, count: number): NewEvent[] {
    return Array.from({ length: count }, () => {
      const number = ++lane.sent;
      return create(NewEventSchema, {
        workerId: lane.workerId,
        correlationId: `${lane.workerId}#${number}`,
        payload: lane.transcript
          ? { case: "textDone", value: { blockId: `b${number}`, text: String(number) } }
          : { case: "custom", value: { type: "load", data: filler.subarray(number % filler.length) } },
      });
    });
  }
}
