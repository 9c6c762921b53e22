import { limits } from "../../base/limits.ts";
import { SequenceQueue } from "../index/queue.ts";

/** The stored bytes of the newest messages, by their sequences in the stream. */
export class RecentMessages {
  readonly #messages = new Map<number, Uint8Array>();
  /** Their sequences, oldest first. A Map is slow to say its first entry once many before that were deleted. */
  #sequences = new SequenceQueue();
  #bytes = 0;

  get(sequence: number): Uint8Array | undefined {
    return this.#messages.get(sequence);
  }

  /** @param sequence higher than all before. */
  add(sequence: number, bytes: Uint8Array): void {
    this.#messages.set(sequence, bytes);
    this.#sequences.push(sequence);
    this.#bytes += bytes.length;
    while (this.#bytes > limits.natsRecentBytes) {
      const oldest = this.#sequences.at(0);
      this.#bytes -= this.#messages.get(oldest)?.length ?? 0;
      this.#messages.delete(oldest);
      this.#sequences.dropFirst(1);
    }
  }

  /** Somebody removed messages: what was kept of them is not true any more. */
  clear(): void {
    this.#messages.clear();
    this.#sequences = new SequenceQueue();
    this.#bytes = 0;
  }
}
