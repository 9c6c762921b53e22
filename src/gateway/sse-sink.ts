import type { Clock } from "../base/clock.ts";
import { readerLeft } from "../base/signals.ts";
import type { TerminalDiagnostic, WatchSink } from "../stream/form.ts";
import { sendStreamHead, targetOf } from "../wire/byte-target.ts";
import { ByteWriter } from "../wire/node-writer.ts";
import type { HttpResponse } from "./http.ts";

/** Headers of every event stream. Without the first, nginx holds events back until its buffer is full. */
export const eventStreamHeaders = {
  "x-accel-buffering": "no",
  "cache-control": "no-store",
  "content-type": "text/event-stream",
} as const;

export interface SseSinkOptions {
  readonly response: HttpResponse;
  readonly clock: Clock;
  readonly stallTimeoutMs: number;
}

/** The frames of one watch on their way into a response. Headers go out with the first of them, so that a refusal can have a status. */
export class SseSink implements WatchSink<Uint8Array> {
  readonly #response: HttpResponse;
  readonly #writer: ByteWriter;
  readonly #reader = new AbortController();
  #begun = false;
  #watch: { resume(): void } | undefined;
  #drained = false;

  constructor({ response, clock, stallTimeoutMs }: SseSinkOptions) {
    this.#response = response;
    this.#writer = new ByteWriter({
      target: targetOf(response),
      clock,
      stallTimeoutMs,
      onDrain: () => {
        if (this.#watch === undefined) this.#drained = true;
        else this.#watch.resume();
      },
      onGone: () => this.#reader.abort(readerLeft),
    });
  }

  /** Aborts when the reader leaves. */
  get signal(): AbortSignal {
    return this.#reader.signal;
  }

  /** Whether headers are out, so that there is no status any more. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Says whose frames these are. What drained before is not lost. */
  attach(watch: { resume(): void }): void {
    this.#watch = watch;
    if (this.#drained) watch.resume();
  }

  get flushed(): boolean {
    return this.#writer.flushed;
  }

  write(frame: Uint8Array): boolean {
    this.#begin();
    return this.#writer.write(frame);
  }

  end(terminal: TerminalDiagnostic | undefined): void {
    if (terminal === undefined) this.#writer.destroy();
    else this.#writer.end();
    this.#watch = undefined;
  }

  #begin(): void {
    if (this.#begun || this.signal.aborted) return;
    this.#begun = true;
    sendStreamHead(this.#response, 200, eventStreamHeaders);
  }
}
