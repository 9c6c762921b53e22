import type { Writable } from "node:stream";

/** Bytes of text gathered for one write, and bytes that may wait for a slow reader before the caller has to wait too. */
const gatherBytes = 64 * 1024;
const maxWaitingBytes = 256 * 1024;

/**
 * Text on its way to stdout. Whoever reads it may be slow (then the caller waits) or leave (`| head`), which is no error:
 * `closed` tells, and writing goes nowhere.
 */
export class TextWriter {
  readonly #stream: Writable;
  readonly #left = new AbortController();
  #gathered: string[] = [];
  #gatheredBytes = 0;
  #scheduled = false;
  #failure: Error | undefined;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") this.#failure ??= error;
      this.#left.abort();
    });
  }

  /** Aborts when the reader has left or writing failed. */
  get closed(): AbortSignal {
    return this.#left.signal;
  }

  /** The reader is known to have left. */
  close(): void {
    this.#left.abort();
  }

  /** Takes text. A promise is for the caller to wait for before it writes more. */
  write(text: string): Promise<void> | undefined {
    if (this.closed.aborted) return undefined;
    this.#gathered.push(text);
    this.#gatheredBytes += text.length;
    if (this.#gatheredBytes >= gatherBytes) this.#send();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#send();
      });
    }
    return this.#stream.writableLength > maxWaitingBytes ? this.flush() : undefined;
  }

  /** Settles when all text so far has left the process, or the reader has left. @throws what writing failed with. */
  async flush(): Promise<void> {
    this.#send();
    if (!this.closed.aborted) {
      await new Promise<void>((resolve) => {
        const left = () => resolve();
        this.closed.addEventListener("abort", left, { once: true });
        this.#stream.write("", () => {
          this.closed.removeEventListener("abort", left);
          resolve();
        });
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #send(): void {
    if (this.#gathered.length === 0 || this.closed.aborted) return;
    const text = this.#gathered.join("");
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#stream.write(text);
  }
}
