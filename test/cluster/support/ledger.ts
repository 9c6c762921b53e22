import { create } from "@bufbuild/protobuf";
import { type NewEvent, NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";

/** What one producer published: its events are numbered from 1, in the order in which they are to be seen. */
export interface Lane {
  readonly workerId: string;
  /** Number of the newest event that was sent. */
  sent: number;
  /** Sequences of the events that were acknowledged, all of them up to the newest one. */
  readonly sequences: number[];
}

/** What was published and what of it was acknowledged, for those who watch to be held against. */
export class Ledger {
  readonly lanes = new Map<string, Lane>();

  lane(workerId: string): Lane {
    const lane: Lane = { workerId, sent: 0, sequences: [] };
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
        payload: { case: "textDone", value: { blockId: `b${number}`, text: String(number) } },
      });
    });
  }
}
