import { setImmediate as turn } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { ManualClock } from "../../src/base/clock.ts";
import type { RetentionLimits } from "../../src/base/limits.ts";
import { CursorCodec } from "../../src/events/cursor.ts";
import { pendingEvent } from "../../src/events/stored.ts";
import type { EventLog } from "../../src/log/contract.ts";
import { MemoryLog } from "../../src/log/memory/index.ts";
import type { WatchSpec } from "../../src/stream/spec.ts";
import type { EndOfScope } from "../../src/stream/surroundings.ts";
import { Tail } from "../../src/stream/tail.ts";
import { CreditSink, type NumberFrame, numberForm } from "./number-form.ts";

export type Payload = NonNullable<MessageInitShape<typeof NewEventSchema>["payload"]>;

/** Everything from the beginning on, as no reader has asked for otherwise. */
export const wholeLog: WatchSpec = {
  scope: { kind: "runtime" },
  kinds: undefined,
  start: { kind: "earliest" },
  continueWithGap: false,
  waitIfMissing: false,
  heartbeatMs: 15_000,
};

/** A tail over a log in memory, with a clock that stands still. */
export class TailWorld {
  readonly clock = new ManualClock();
  readonly memory: MemoryLog;
  readonly log: EventLog;
  readonly cursors: CursorCodec;
  readonly tail: Tail;
  readonly faults: unknown[] = [];

  constructor(
    options: {
      retention?: Partial<RetentionLimits>;
      endOf?: EndOfScope;
      wrap?: (log: EventLog) => EventLog;
      Log?: typeof MemoryLog;
    } = {},
  ) {
    const { Log = MemoryLog } = options;
    this.memory = new Log({ runtimeId: "world", clock: this.clock, retention: options.retention ?? {} });
    this.log = options.wrap?.(this.memory) ?? this.memory;
    this.cursors = new CursorCodec("world", this.log.identity.generation);
    this.tail = new Tail({
      log: this.log,
      cursors: this.cursors,
      clock: this.clock,
      ...(options.endOf === undefined ? {} : { endOf: options.endOf }),
      internal: (cause) => {
        this.faults.push(cause);
        throw cause;
      },
    });
  }

  async publish(
    workerId: string,
    count = 1,
    payload: Payload = { case: "output", value: {} },
    jobId = "",
  ): Promise<void> {
    const event = pendingEvent(create(NewEventSchema, { workerId, jobId, payload }));
    await this.log.append({ events: new Array(count).fill(event) });
  }

  async open(spec: Partial<WatchSpec> = {}, credit?: number, frameBytes = 100): Promise<OpenWatch> {
    const sink = new CreditSink(credit);
    const reader = new AbortController();
    const watch = await this.tail.open(
      {
        ...wholeLog,
        ...spec,
      },
      numberForm(`numbers of ${frameBytes} bytes`, frameBytes),
      sink,
      reader.signal,
    );
    sink.watch = watch;
    return { sink, reader };
  }

  /** Lets everything that was begun come to rest. */
  async rest(): Promise<void> {
    for (let i = 0; i < 5; i++) {
      await turn();
      this.tail.flush();
    }
  }
}

export interface OpenWatch {
  readonly sink: CreditSink;
  readonly reader: AbortController;
}

export type { NumberFrame };
