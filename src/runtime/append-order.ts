import { TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

/** Some of the keys of an append. */
export type Keys = Pick<ReadonlySet<string>, "has">;

export const everything: Keys = { has: () => true };

/** An append's place among those that have keys in common with it. */
export interface Place {
  /** Settles when all before it have let it by; undefined: it need not wait. */
  readonly ready: Promise<unknown> | undefined;
  /** It was handed to the log. What comes after it waits no longer, except for the keys that it bars. */
  sent(barred: Keys): void;
  /** It is over, whatever became of it. Always to be called. */
  leave(): void;
}

/**
 * Keeps the order of appends on a log where one may be refused and made again. An append that puts what others depend on
 * (the facts of a worker, the record of a job) bars them until it is over: they would be decided from what it puts, or would
 * be committed before it although they were made after it. All others go to the log at once, one behind the other: where
 * another server's put refuses one of those, what was sent behind it and after that put was heard is committed before it.
 * To wait for each would cost every batch a round trip; docs/protocol.md says whom it concerns.
 */
export class AppendOrder {
  /** By key, what the next append with that key waits for. */
  readonly #last = new Map<string, Promise<void>>();
  #waitingBytes = 0;

  /** Keys that someone may have to wait for. */
  get size(): number {
    return this.#last.size;
  }

  /** @throws TailraceError `limit_exceeded` if too much waits already. `bytes`: what the append holds in memory. */
  enter(keys: ReadonlySet<string>, bytes: number): Place {
    const before: Promise<void>[] = [];
    for (const key of keys) {
      const last = this.#last.get(key);
      if (last !== undefined) before.push(last);
    }
    const waits = before.length > 0;
    if (waits) this.#admit(bytes);
    const held = new Map<string, () => void>();
    if (waits) for (const key of keys) held.set(key, this.#hold(key));
    let letBy = !waits;
    const ready = waits
      ? Promise.all(before).then(() => {
          letBy = true;
        })
      : undefined;
    let waiting = waits;
    const stopWaiting = () => {
      if (waiting) this.#waitingBytes -= bytes;
      waiting = false;
    };
    const release = () => {
      for (const open of held.values()) open();
      held.clear();
    };
    return {
      ready,
      sent: (barred) => {
        stopWaiting();
        for (const key of keys) {
          if (!barred.has(key)) {
            held.get(key)?.();
            held.delete(key);
          } else if (!held.has(key) && !this.#last.has(key)) held.set(key, this.#hold(key));
        }
      },
      leave: () => {
        // What comes after one that does not wait any longer still has to wait for those before that.
        if (letBy) release();
        else void ready?.then(release);
        stopWaiting();
      },
    };
  }

  /** Something waits out of order until what this gives is called. @throws as `enter`. */
  waits(bytes: number): () => void {
    this.#admit(bytes);
    return () => {
      this.#waitingBytes -= bytes;
    };
  }

  #hold(key: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last.set(key, promise);
    return () => {
      if (this.#last.get(key) === promise) this.#last.delete(key);
      resolve();
    };
  }

  #admit(bytes: number): void {
    const maximum = limits.maxPendingAppendBytes;
    if (this.#waitingBytes + bytes > maximum) {
      throw new TailraceError(
        "limit_exceeded",
        { limit: "maxPendingAppendBytes", maximum, retryAfterMs: 100 },
        "Too many appends wait for others of their workers. Publish again a little later, or in smaller batches.",
      );
    }
    this.#waitingBytes += bytes;
  }
}
