import type { StreamInfo } from "@nats-io/jetstream";
import { limits } from "../../../base/limits.ts";
import { wallOf } from "../stream/wall.ts";

/** How far the log was at earlier looks, so that what it needs no more stays for a while. */
export class Places {
  /** Oldest first. */
  readonly #places: { readonly atMs: number; readonly through: number }[] = [];

  /**
   * Sequence in the stream up to which messages may go: a server that was away for a while finds what it has missed. Asked
   * by every server, so that the next one to look after the stream knows it too.
   * @param through how far the log is now.
   */
  purgeable({ config, state }: StreamInfo, through: number): number {
    const now = performance.now();
    this.#places.push({ atMs: now, through });
    const wall = wallOf(config);
    const isHalfFull = wall > 0 && state.bytes > wall / 2;
    const young = isHalfFull ? -1 : this.#places.findIndex(({ atMs }) => now - atMs < limits.natsPurgeAfterMs);
    const old = young < 0 ? this.#places.length : young;
    if (old === 0) return 0;
    // Of those that are old enough the newest is all that is needed.
    this.#places.splice(0, old - 1);
    return this.#places[0]?.through ?? 0;
  }
}
