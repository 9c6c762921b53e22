import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EventKind, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import {
  type NarrationLevel,
  OutputStream,
  type WorkerEndedSchema,
  type WorkerInfoSchema,
  type WorkerState,
} from "../../gen/tailrace/v1/payloads_pb.ts";
import { limits } from "../base/limits.ts";
import { decodeEvent } from "../events/stored.ts";
import { storedJob } from "./jobs/context.ts";
import type { PublishReceipt } from "./publishing.ts";
import type { Runtime } from "./runtime.ts";

/** The payload of an event: `{ case: "custom", value: { type: "..." } }`. */
export type PayloadInit = NonNullable<MessageInitShape<typeof NewEventSchema>["payload"]>;

/** What may be said of any event besides its payload. */
export interface EventOptions {
  /** Ties events of one cause together; at most 256 bytes. Default: that of the job whose handler runs, else none. */
  readonly correlationId?: string;
  /** Job that the event belongs to. Default: the one whose handler runs, while it runs; empty: none. */
  readonly jobId?: string;
  /** When it happened, by the producer's clock, in milliseconds since the epoch. */
  readonly producerTimeMs?: number;
}

/**
 * Publishes the events of one worker. Every method settles after the commit and throws TailraceError as
 * `Runtime.publish` does, and keeps the order of calls that are not awaited as that does. The worker exists from its first
 * event on. In a handler, its events are also those of the job.
 */
export class Worker {
  readonly id: string;
  readonly #runtime: Runtime;
  /** Bytes written per stream so far; undefined: not yet known, because the worker was there before this process. */
  #offsets: Promise<Map<OutputStream, number>> | undefined;

  /** Use `runtime.worker(id)`. */
  constructor(runtime: Runtime, id: string) {
    this.#runtime = runtime;
    this.id = id;
  }

  /** Publishes any payload. */
  publish(payload: PayloadInit, options: EventOptions = {}): Promise<PublishReceipt> {
    return this.#runtime.publish([this.#event(payload, options)]);
  }

  /** Output to standard output, as it came. Bytes are kept exactly; more than 64 KiB are split. */
  stdout(data: Uint8Array | string, options?: EventOptions): Promise<PublishReceipt> {
    return this.#output(OutputStream.STDOUT, data, options);
  }

  /** Output to standard error, as it came. */
  stderr(data: Uint8Array | string, options?: EventOptions): Promise<PublishReceipt> {
    return this.#output(OutputStream.STDERR, data, options);
  }

  /** Anything that the schema does not know. A string is sent as UTF-8. */
  custom(type: string, data: Uint8Array | string, contentType = "", options?: EventOptions): Promise<PublishReceipt> {
    return this.publish({ case: "custom", value: { type, contentType, data: bytesOf(data) } }, options);
  }

  /** What the worker does from here on. */
  status(state: WorkerState, message = "", options?: EventOptions): Promise<PublishReceipt> {
    return this.publish({ case: "workerStatus", value: { state, message } }, options);
  }

  /** Describes the worker; replaces what was said before. */
  describe(info: MessageInitShape<typeof WorkerInfoSchema>, options?: EventOptions): Promise<PublishReceipt> {
    return this.publish({ case: "workerUpdated", value: { info } }, options);
  }

  /** Says something for people. */
  narrate(
    action: string,
    message: string,
    options: EventOptions & { readonly level?: NarrationLevel } = {},
  ): Promise<PublishReceipt> {
    const level = options.level === undefined ? {} : { level: options.level };
    return this.publish({ case: "narration", value: { action, message, ...level } }, options);
  }

  /** The worker's final end: its stream is over, and nothing more can be published for it. */
  end(ended: MessageInitShape<typeof WorkerEndedSchema>, options?: EventOptions): Promise<PublishReceipt> {
    return this.publish({ case: "workerEnded", value: ended }, options);
  }

  #event(payload: PayloadInit, options: EventOptions): MessageInitShape<typeof NewEventSchema> {
    const job = storedJob()?.link;
    const own = job?.runtime === this.#runtime ? job : undefined;
    return {
      workerId: this.id,
      payload,
      correlationId: options.correlationId ?? own?.correlationId ?? "",
      // A worker that a job started goes on when the job has ended, and what it says then is not the job's.
      jobId: options.jobId ?? (own?.open() === true ? own.id : ""),
      ...(options.producerTimeMs === undefined ? {} : { producerTime: timestampFromMs(options.producerTimeMs) }),
    };
  }

  async #output(
    stream: OutputStream,
    output: Uint8Array | string,
    options: EventOptions = {},
  ): Promise<PublishReceipt> {
    const data = bytesOf(output);
    // Offsets are given out in the order of the calls, also while the first one is still being looked up.
    this.#offsets ??= this.#readOffsets();
    const offsets = await this.#offsets;
    const begin = offsets.get(stream) ?? 0;
    offsets.set(stream, begin + data.length);
    const events = [];
    for (let from = 0; from === 0 || from < data.length; from += limits.maxOutputChunkBytes) {
      const chunk = data.subarray(from, from + limits.maxOutputChunkBytes);
      const value = { stream, data: chunk, offset: BigInt(begin + from) };
      events.push(create(NewEventSchema, this.#event({ case: "output", value }, options)));
    }
    return this.#runtime.publish(events);
  }

  /** A worker that was there before goes on where its output ended, as far as the log still has it. */
  async #readOffsets(): Promise<Map<OutputStream, number>> {
    const offsets = new Map<OutputStream, number>();
    const { log, cursors } = this.#runtime;
    if (log.worker(this.id) === undefined) return offsets;
    const scope = { kind: "workers", workerIds: [this.id] } as const;
    const kinds = new Set<number>([EventKind.OUTPUT]);
    const { sequence: after } = await log.seek(scope, { kind: "last", count: recentOutputs, kinds });
    const until = log.bounds(scope).head.sequence;
    const page = await log.read({ scope, kinds, after, until, maxEvents: recentOutputs, maxBytes: recentOutputBytes });
    if (page.kind === "expired" || page.block === undefined) return offsets;
    for (let i = 0; i < page.block.length; i++) {
      const { payload } = decodeEvent(page.block, cursors, i);
      if (payload.case !== "output") continue;
      const { stream, offset, data } = payload.value;
      offsets.set(stream, Math.max(offsets.get(stream) ?? 0, Number(offset) + data.length));
    }
    return offsets;
  }
}

/** Newest outputs of a worker that are looked through for the ends of its streams, and the bytes that they may take. */
const recentOutputs = 64;
const recentOutputBytes = recentOutputs * limits.maxEventBytes;

function bytesOf(data: Uint8Array | string): Uint8Array {
  return typeof data === "string" ? new TextEncoder().encode(data) : data;
}
