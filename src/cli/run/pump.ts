import type { Readable, Writable } from "node:stream";

export interface PumpOptions {
  /** The command's end of a pipe. */
  readonly source: Readable;
  /** Our own stdout or stderr. */
  readonly destination: Writable;
  /** Records what came. False: read no more until `roomInLog`. */
  readonly record: (data: Buffer) => boolean;
}

/**
 * Carries one output of a command to our own, unchanged, and into the log. It reads only while both take it, so that a
 * command that is faster than either waits in its own pipe and nothing grows here.
 */
export class Pump {
  readonly #source: Readable;
  readonly #destination: Writable;
  readonly #done: Promise<void>;
  readonly #left = new AbortController();
  #terminalFull = false;
  #logFull = false;

  constructor({ source, destination, record }: PumpOptions) {
    this.#source = source;
    this.#destination = destination;
    this.#done = new Promise((resolve) => source.once("close", resolve));
    source.on("data", (data: Buffer) => {
      if (!record(data)) this.#logFull = true;
      if (!this.#left.signal.aborted && !destination.write(data)) this.#terminalFull = true;
      this.#apply();
    });
    // A pipe that breaks ends what can be read; "close" follows.
    source.on("error", () => undefined);
    destination.on("drain", () => {
      this.#terminalFull = false;
      this.#apply();
    });
    // Whoever read our output has left (`| head`): the command is to notice it as if we were not here.
    destination.on("error", () => {
      this.#left.abort();
      source.destroy();
    });
  }

  /** Settles when nothing more will come. */
  get done(): Promise<void> {
    return this.#done;
  }

  roomInLog(): void {
    this.#logFull = false;
    this.#apply();
  }

  /** Gives up on whoever still holds the command's end. */
  stop(): void {
    this.#source.destroy();
  }

  /** Settles when what was read has left the process, or nobody takes it any more. */
  async flushed(): Promise<void> {
    const { signal } = this.#left;
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
      this.#destination.write("", () => resolve());
    });
  }

  #apply(): void {
    if (this.#terminalFull || this.#logFull) this.#source.pause();
    else this.#source.resume();
  }
}
