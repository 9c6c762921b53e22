/** What of a segment is still retained. */
export interface SegmentUse {
  liveEvents: number;
  liveBytes: number;
}

/** Counts what of each segment is retained, to tell which ones can be reclaimed. */
export class SegmentUses {
  readonly #uses = new Map<number, SegmentUse>();
  #removals = 0;

  /** How many times something was removed: nothing can be reclaimed that could not be before, unless this grew. */
  get removals(): number {
    return this.#removals;
  }

  of(segment: number): SegmentUse {
    return this.#uses.get(segment) ?? { liveEvents: 0, liveBytes: 0 };
  }

  count(segment: number, events: number, bytes: number): void {
    let use = this.#uses.get(segment);
    if (use === undefined) {
      use = { liveEvents: 0, liveBytes: 0 };
      this.#uses.set(segment, use);
    }
    if (events < 0) this.#removals++;
    use.liveEvents += events;
    use.liveBytes += bytes;
  }

  forget(segment: number): void {
    this.#uses.delete(segment);
  }
}
