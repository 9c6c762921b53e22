import type { TranscriptState } from "../../events/transcript/state.ts";
import { commandBytes } from "./page.ts";

/** Bytes that an entry takes in memory beside its content, and a transcript beside its entries. */
const entryBytes = 512;
const transcriptBytes = 1024;

/** Transcripts in memory, in the order of their last use, and what they take. */
export class Residents {
  readonly #states = new Map<string, TranscriptState>();
  #newest = "";
  #bytes = 0;

  get size(): number {
    return this.#states.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Counts as a use. */
  get(workerId: string): TranscriptState | undefined {
    const state = this.#states.get(workerId);
    if (state !== undefined) this.#touch(workerId, state);
    return state;
  }

  /** Does not count as a use. */
  peek(workerId: string): TranscriptState | undefined {
    return this.#states.get(workerId);
  }

  set(workerId: string, state: TranscriptState): void {
    const before = this.#states.get(workerId);
    this.#bytes += memoryOf(state) - (before === undefined ? 0 : memoryOf(before));
    if (this.#newest === workerId) this.#states.set(workerId, state);
    else this.#touch(workerId, state);
  }

  delete(workerId: string): void {
    const state = this.#states.get(workerId);
    if (state === undefined) return;
    this.#bytes -= memoryOf(state);
    this.#states.delete(workerId);
    if (this.#newest === workerId) this.#newest = "";
  }

  /** The ids, used longest ago first. */
  ids(): IterableIterator<string> {
    return this.#states.keys();
  }

  #touch(workerId: string, state: TranscriptState): void {
    if (this.#newest === workerId) return;
    this.#newest = workerId;
    this.#states.delete(workerId);
    this.#states.set(workerId, state);
  }
}

function memoryOf({ bytes, entries, commands }: TranscriptState): number {
  return transcriptBytes + bytes + entries.length * entryBytes + commandBytes(commands);
}
