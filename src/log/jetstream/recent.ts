import { limits } from "../../base/limits.ts";
/** The stored bytes of the newest messages, by their sequences in the stream. */
export class RecentMessages {
  readonly #messages = new Map<number, Uint8Array>();
  #bytes = 0;

  get(sequence: number): Uint8Array | undefined {
    return this.#messages.get(sequence);
  }

  add(sequence: number, bytes: Uint8Array): void {
    this.#messages.set(sequence, bytes);
    this.#bytes += bytes.length;
    for (const [oldest, { length }] of this.#messages) {
      if (this.#bytes <= limits.natsRecentBytes) return;
      this.#bytes -= length;
      this.#messages.delete(oldest);
    }
  }

  /** Somebody removed messages: what was kept of them is not true any more. */
  clear(): void {
    this.#messages.clear();
    this.#bytes = 0;
  }
}
