import { BroadcastChannel, isMainThread, threadId } from "node:worker_threads";
import { toBinary } from "@bufbuild/protobuf";
import { type NewEvent, NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { systemClock } from "../../base/clock.ts";
import { type Reason, TailraceError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { PublishReceipt } from "../publishing.ts";
import { type JobLink, LinkedJob } from "./context.ts";
import { channelName, type FromThread, type ThreadError, type ToThread } from "./thread-messages.ts";

interface Waiting {
  resolve(receipt: PublishReceipt): void;
  reject(error: unknown): void;
  stopTimer(): void;
}

let job: LinkedJob | undefined;

/** The job that this thread was started for, by its environment; undefined: none, or this is no worker thread. */
export function threadJob(): LinkedJob | undefined {
  if (isMainThread) return undefined;
  const { TAILRACE_JOB_ID: id, TAILRACE_JOB_TOKEN: token } = process.env;
  if (id === undefined || token === undefined) return undefined;
  if (job?.id !== id) job = new LinkedJob(new ThreadLink(id, token));
  return job;
}

/** Publishes for a job whose runtime is in another thread of the process. */
class ThreadLink implements JobLink {
  readonly id: string;
  readonly operation = process.env["TAILRACE_OPERATION"] ?? "";
  readonly workerId = process.env["TAILRACE_WORKER_ID"] ?? "";
  readonly correlationId = process.env["TAILRACE_CORRELATION_ID"] ?? "";
  readonly runtime = undefined;
  readonly #channel: BroadcastChannel;
  readonly #self = `${threadId}-${crypto.randomUUID()}`;
  readonly #abort = new AbortController();
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #ended = false;

  constructor(id: string, token: string) {
    this.id = id;
    this.#channel = new BroadcastChannel(channelName(token));
    this.#channel.unref();
    this.#channel.onmessage = ({ data }: { data: unknown }) => this.#hear(data as FromThread | ToThread);
    this.#say({ kind: "hello", from: this.#self });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  open(): boolean {
    return !this.#ended;
  }

  publish(event: NewEvent): Promise<PublishReceipt> {
    if (this.#ended) return Promise.reject(this.#gone());
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const stopTimer = systemClock.after(limits.jobThreadAnswerMs, () => this.#take(id)?.reject(this.#silent()));
      this.#waiting.set(id, { resolve, reject, stopTimer });
      // The thread lives on until what it says is committed.
      this.#channel.ref();
      this.#say({ kind: "publish", from: this.#self, id, event: toBinary(NewEventSchema, event) });
    });
  }

  environment(): Record<string, string> {
    const names = Object.entries(process.env).filter(([name]) => passedOn.has(name));
    return Object.fromEntries(names) as Record<string, string>;
  }

  refused(): void {
    // The runtime has refused it, and its operator was told there.
  }

  #hear(message: FromThread | ToThread): void {
    switch (message.kind) {
      case "published":
        if (message.to === this.#self) this.#take(message.id)?.resolve(message.receipt);
        return;
      case "refused":
        if (message.to === this.#self) this.#take(message.id)?.reject(errorOf(message.error));
        return;
      case "aborted":
        this.#abort.abort(new DOMException(message.message, message.name));
        return;
      case "ended":
        this.#ended = true;
        for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(this.#gone());
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.stopTimer();
    if (this.#waiting.size === 0) this.#channel.unref();
    return waiting;
  }

  #say(message: FromThread): void {
    this.#channel.postMessage(message);
  }

  #gone(): TailraceError {
    return new TailraceError("access_denied", { grant: "publish" }, `Job "${this.id}" has ended.`);
  }

  #silent(): TailraceError {
    return new TailraceError(
      "connection_failed",
      { code: "deadline_exceeded", attempts: 1 },
      `The runtime of job "${this.id}" did not answer within ${limits.jobThreadAnswerMs} ms: it is not in this process, or the job had ended.`,
    );
  }
}

const passedOn: ReadonlySet<string> = new Set([
  "TAILRACE_SERVER",
  "TAILRACE_JOB_ID",
  "TAILRACE_OPERATION",
  "TAILRACE_WORKER_ID",
  "TAILRACE_CORRELATION_ID",
  "TAILRACE_JOB_TOKEN",
]);

function errorOf({ reason, details, message }: ThreadError): TailraceError {
  return new TailraceError(reason as Reason, details as never, message);
}
