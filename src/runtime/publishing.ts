import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { type PublishEventsResponse, PublishEventsResponseSchema } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import type { Clock } from "../base/clock.ts";
import { invalidRequest } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { CursorCodec } from "../events/cursor.ts";
import { newEventOf } from "../events/new-event.ts";
import type { AppendResult, EventLog } from "../log/contract.ts";
import { type PreparedBatch, type PublishRequest, prepareBatch } from "./prepared-batch.ts";
import { Producers } from "./producers.ts";
import type { EventPublisher } from "./publisher.ts";
import { checkId } from "./requests.ts";

/** Where published events are. */
export interface PublishReceipt {
  /** Position after the last of them. */
  readonly cursor: string;
  /** Sequences of the first and the last of them. */
  readonly firstSequence: number;
  readonly lastSequence: number;
}

/** The ways in which events are published, and their answers. All throw what `EventPublisher` throws. */
export class Publishing {
  readonly #publisher: EventPublisher;
  readonly #producers: Producers;
  readonly #cursors: CursorCodec;
  readonly #requireOpen: () => void;

  /** `requireOpen` throws once the runtime closes. What jobs and the runtime itself have to say then is said still. */
  constructor(log: EventLog, cursors: CursorCodec, clock: Clock, publisher: EventPublisher, requireOpen: () => void) {
    this.#publisher = publisher;
    this.#producers = new Producers(log, clock);
    this.#cursors = cursors;
    this.#requireOpen = requireOpen;
  }

  /** Publishes what code in the process says. */
  async inProcess(events: readonly MessageInitShape<typeof NewEventSchema>[]): Promise<PublishReceipt> {
    this.#requireOpen();
    if (events.length === 0) throw invalidRequest("events", "there is none");
    const messages = events.map(newEventOf);
    return this.#receipt(await this.#publisher.append(prepareBatch(messages, "process")));
  }

  /** Publishes what a job says in the process. A job may outlive its worker, which takes nothing more. */
  async ofJob(event: NewEvent): Promise<PublishReceipt> {
    const publisher = this.#publisher;
    const result = await publisher.appendDecided(() => {
      const workerId = publisher.hasEnded(event.workerId) ? "" : event.workerId;
      return { batch: prepareBatch([{ ...event, workerId }], "process") };
    });
    return this.#receipt(result);
  }

  /** Publishes what the runtime says of itself. */
  async ofRuntime(payload: NonNullable<MessageInitShape<typeof NewEventSchema>["payload"]>): Promise<void> {
    await this.#publisher.append(prepareBatch([create(NewEventSchema, { payload })], "runtime"));
  }

  /** Publishes what came from outside. `ownEvents` makes the events those of the caller, where it has a say in that. */
  async fromOutside(
    request: PublishRequest,
    ownEvents: (events: PublishRequest["events"]) => PublishRequest["events"],
  ): Promise<PublishEventsResponse> {
    this.#requireOpen();
    const { events, producerId } = request;
    if (events.length === 0) throw invalidRequest("events", "there is none");
    if (events.length > limits.maxPublishEvents) {
      throw invalidRequest("events", `a batch has at most ${limits.maxPublishEvents}; send several batches`);
    }
    const first = Number(request.firstProducerSequence);
    if ((producerId === "") !== (first === 0)) {
      throw invalidRequest("first_producer_sequence", "it is 1 or more with a producer_id, and 0 without");
    }
    const publisher = this.#publisher;
    // Whose events they are depends on whether the caller's worker has ended, which another server may say meanwhile.
    const batch = () => prepareBatch(ownEvents(events), "outside");
    let prepared: PreparedBatch | undefined = batch();
    const inTime = () => {
      const now = prepared ?? batch();
      prepared = undefined;
      return now;
    };
    if (producerId === "") {
      return this.#response(await publisher.appendDecided(() => ({ batch: inTime() })), false);
    }
    checkId(producerId, "producer_id");
    if (!Number.isSafeInteger(first)) throw invalidRequest("first_producer_sequence", "it is too large");
    const { result, duplicate } = await this.#producers.publish(producerId, first, prepared.events, (decide) =>
      publisher.appendDecided(() => {
        const state = decide();
        return state === undefined ? undefined : { batch: inTime(), state };
      }),
    );
    return this.#response(result, duplicate);
  }

  #receipt(result: AppendResult): PublishReceipt {
    return {
      cursor: this.#cursors.encode(result.last),
      firstSequence: result.firstSequence,
      lastSequence: result.last.sequence,
    };
  }

  #response(result: AppendResult, duplicate: boolean): PublishEventsResponse {
    const { cursor, firstSequence, lastSequence } = this.#receipt(result);
    return create(PublishEventsResponseSchema, {
      cursor,
      firstSequence: BigInt(firstSequence),
      lastSequence: BigInt(lastSequence),
      duplicate,
    });
  }
}
