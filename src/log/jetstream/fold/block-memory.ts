import { limits } from "../../../base/limits.ts";
import { largeBytes } from "./recent.ts";

/** Blocks from this size on, in bytes, have memory that serves again. Smaller ones would hold much more of it than they need. */
const smallestBytes = 8 * 1024;

/** Bytes of that: enough for all that are not large, and fewer than any of those has, which is never taken for memory of it. */
const servingBytes = largeBytes - 1;

/**
 * Memory for the bytes of blocks. They are as much as all that comes from NATS, and most are read for a few milliseconds: where each
 * has memory of its own, V8 looks through all that it holds several times a second to find out that they are not.
 */
export class BlockMemory {
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];

  /** Room for so many bytes, with anything in it. */
  take(bytes: number): Uint8Array<ArrayBuffer> {
    // A large one is kept where it lies, as one of the recent messages.
    if (bytes < smallestBytes || bytes >= largeBytes) return new Uint8Array(bytes);
    return this.#spare.pop() ?? new Uint8Array(servingBytes);
  }

  /** Takes back what `take` gave and nobody reads any more. */
  giveBack(memory: Uint8Array): void {
    if (memory.buffer.byteLength !== servingBytes || this.#spare.length >= limits.natsSpareBlocks) return;
    this.#spare.push(memory as Uint8Array<ArrayBuffer>);
  }
}
