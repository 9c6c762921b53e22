import { randomUUID } from "node:crypto";
import { limits } from "../../base/limits.ts";
import type { Meta } from "./meta.ts";

const key = "lease";

/**
 * Says which server trims, keeps snapshots and lets age remove. A revision that stays the same for a while is that of a
 * holder that is gone: no clocks are compared. Two holders by accident do no harm, since what they write is folded by
 * everyone alike and only ever removes what is removed already.
 */
export class Lease {
  readonly #meta: Meta;
  readonly #own = new TextEncoder().encode(randomUUID());
  readonly #onTaken: () => void;
  #revision: number | undefined;
  #seen: { revision: number; atMs: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> | undefined;
  #stopped = false;

  /** @param onTaken is called when it was taken, not when it is renewed. */
  constructor(meta: Meta, onTaken: () => void) {
    this.#meta = meta;
    this.#onTaken = onTaken;
  }

  /** Whether this server has it, as far as it knows: one that was paused finds out with its next renewal. */
  get isHeld(): boolean {
    return this.#revision !== undefined;
  }

  /** Tries to take it once, and goes on trying. */
  async start(): Promise<void> {
    await this.#try();
    this.#timer = setInterval(() => void this.#try(), limits.natsLeaseRenewMs);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#turn;
    if (this.#revision !== undefined) await this.#meta.remove(key, this.#revision).catch(() => undefined);
    this.#revision = undefined;
  }

  #try(): Promise<void> {
    this.#turn ??= this.#attempt()
      // No answer. The next try finds out what became of this one.
      .catch(() => undefined)
      .finally(() => {
        this.#turn = undefined;
      });
    return this.#turn;
  }

  async #attempt(): Promise<void> {
    const startedAtMs = performance.now();
    if (this.#revision !== undefined) {
      const renewed = await this.#meta.swap(key, this.#own, this.#revision);
      // A renewal whose answer was lost is one all the same.
      this.#revision = renewed ?? (await this.#ownRevision());
      return;
    }
    const found = await this.#meta.get(key);
    if (found !== undefined && found.revision !== this.#seen?.revision) {
      this.#seen = { revision: found.revision, atMs: startedAtMs };
      return;
    }
    if (found !== undefined && startedAtMs - (this.#seen?.atMs ?? 0) < limits.natsLeaseMs) return;
    this.#revision = await this.#meta.swap(key, this.#own, found?.revision);
    if (this.#revision === undefined || this.#stopped) return;
    this.#onTaken();
  }

  async #ownRevision(): Promise<number | undefined> {
    const found = await this.#meta.get(key);
    return found !== undefined && Buffer.compare(found.value, this.#own) === 0 ? found.revision : undefined;
  }
}
