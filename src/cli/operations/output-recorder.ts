import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { OutputStream } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { TailraceError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { JobContext } from "../../runtime/jobs/operation.ts";

/**
 * Milliseconds between two looks at an output that someone outside of the command's group still holds, and how many of
 * them must find nothing new. Looks, not time that has passed: a machine that paused has not read what is there.
 */
const lookEveryMs = 250;
const silentLooks = 4;

/** Milliseconds until another try while the log takes nothing, if it does not say. */
const retryMs = 250;

/**
 * Publishes one output of a job's command: what is there, then, after its commit, what has come since. So nothing is held
 * here but one chunk, and a command that is faster than the log waits in its next write.
 */
export class OutputRecorder {
  readonly #source: Readable;
  readonly #stream: OutputStream;
  readonly #job: Pick<JobContext, "publish" | "signal">;
  #offset = 0;
  #publishing = false;
  /** Looks since something was read. */
  #silence = 0;
  /** Settles when nothing more will come. Rejects with why something could not be recorded. */
  readonly done: Promise<void>;

  constructor(source: Readable, stream: OutputStream, job: Pick<JobContext, "publish" | "signal">) {
    this.#source = source;
    this.#stream = stream;
    this.#job = job;
    this.done = this.#record();
    // Whoever waits for it hears of it, and may come only when the command has ended.
    this.done.catch(() => undefined);
  }

  /** Waits for the end of the output, but not for someone who merely holds it open. */
  async finish(): Promise<void> {
    const ended = new AbortController();
    const watchdog = this.#giveUpWhenSilent(ended.signal);
    try {
      await this.done;
    } finally {
      ended.abort();
      await watchdog;
    }
  }

  async #giveUpWhenSilent(ended: AbortSignal): Promise<void> {
    this.#silence = 0;
    while (!ended.aborted) {
      await delay(lookEveryMs, undefined, { signal: ended }).catch(() => undefined);
      if (!this.#publishing && ++this.#silence >= silentLooks) this.#source.destroy();
    }
  }

  async #record(): Promise<void> {
    try {
      for await (const data of this.#source as AsyncIterable<Buffer>) {
        this.#silence = 0;
        for (let from = 0; from < data.length; from += limits.maxOutputChunkBytes) {
          await this.#publish(data.subarray(from, from + limits.maxOutputChunkBytes));
        }
      }
    } catch (error) {
      // A pipe that breaks or is given up ends what can be read.
      if (error instanceof TailraceError) throw error;
    } finally {
      this.#source.destroy();
    }
  }

  async #publish(data: Uint8Array): Promise<void> {
    this.#publishing = true;
    const value = { stream: this.#stream, data, offset: BigInt(this.#offset) };
    for (;;) {
      try {
        await this.#job.publish({ case: "output", value });
        break;
      } catch (error) {
        const waitMs = error instanceof TailraceError ? retryAfter(error) : undefined;
        if (waitMs === undefined || this.#job.signal.aborted) throw error;
        await delay(waitMs, undefined, { signal: this.#job.signal }).catch(() => undefined);
      }
    }
    this.#offset += data.length;
    this.#publishing = false;
    this.#silence = 0;
  }
}

/** Milliseconds until another try; undefined: it would not help. */
function retryAfter(error: TailraceError): number | undefined {
  if (error.reason !== "log_unavailable" && error.reason !== "limit_exceeded") return undefined;
  const { retryAfterMs } = error.details as { retryAfterMs?: number };
  return Math.max(retryMs, retryAfterMs ?? 0);
}
