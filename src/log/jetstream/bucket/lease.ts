import { limits } from "../../../base/limits.ts";
import type { Meta } from "./meta.ts";

const key = "lease";

/** Milliseconds, at random up to this, until a lease that was given back is tried for. */
const spreadMs = 200;

/** Follows the id of a holder that lets go of it for anyone who looks after more than the stream. */
const yieldingMark = "~";

/** Changes whenever a server takes or renews the lease; undefined: nobody has it. */
export async function leaseRevision(meta: Meta): Promise<number | undefined> {
  return (await meta.get(key))?.revision;
}

/**
 * Says which server trims, keeps snapshots and lets age remove. A revision that stays the same for a while is that of a
 * holder that is gone: no clocks are compared. Two holders by accident do no harm, since what they write is folded by
 * everyone alike and only ever removes what is removed already.
 */
export class Lease {
  readonly #meta: Meta;
  readonly #id: string;
  readonly #yields: () => boolean;
  readonly #onHeld: () => void;
  #revision: number | undefined;
  /** When the renewal was begun that succeeded last: nobody else takes it before `natsLeaseMs` after that. */
  #renewedAtMs = 0;
  #seen: { revision: number; atMs: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #hurrying: NodeJS.Timeout | undefined;
  #turn: Promise<void> | undefined;
  #stopped = false;

  /**
   * @param id of the one that wants it, never used again.
   * @param onHeld is called when it was taken or renewed.
   * @param yields whether one that does not yield may take it away at once. Asked each time that it is taken or renewed.
   */
  constructor(meta: Meta, id: string, onHeld: () => void, yields: () => boolean = () => false) {
    this.#meta = meta;
    this.#id = id;
    this.#yields = yields;
    this.#onHeld = onHeld;
  }

  /** Whether nobody else can have it. One that was paused, or has no connection, does not know until it has renewed it. */
  get isHeld(): boolean {
    return this.#revision !== undefined && performance.now() - this.#renewedAtMs < limits.natsLeaseMs;
  }

  /** Tries to take it once, and goes on trying. */
  async start(): Promise<void> {
    await this.#try();
    this.#timer = setInterval(() => void this.#try(), limits.natsLeaseRenewMs);
    this.#timer.unref();
  }

  /** Renews it, or tries to take it, soon, if it was started. */
  hurry(): void {
    if (this.#timer === undefined || this.#stopped) return;
    this.#hurrying ??= setTimeout(async () => {
      this.#hurrying = undefined;
      // What is under way may have asked before.
      await this.#turn;
      if (!this.#stopped) await this.#try();
    }, Math.random() * spreadMs).unref();
  }

  /** Gives it back. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#hurrying);
    await this.#turn;
    const revision = this.#revision;
    this.#revision = undefined;
    if (revision !== undefined) await this.#meta.remove(key, revision).catch(() => undefined);
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
    const isRenewed = this.#revision === undefined ? await this.#take(startedAtMs) : await this.#renew(this.#revision);
    if (!isRenewed) return;
    this.#renewedAtMs = startedAtMs;
    if (!this.#stopped) this.#onHeld();
  }

  async #take(startedAtMs: number): Promise<boolean> {
    const found = await this.#meta.get(key);
    const isOpen = found === undefined || (holderOf(found.value).yields && !this.#yields());
    if (!isOpen && found.revision !== this.#seen?.revision) {
      this.#seen = { revision: found.revision, atMs: startedAtMs };
      return false;
    }
    if (!isOpen && startedAtMs - (this.#seen?.atMs ?? 0) < limits.natsLeaseMs) return false;
    this.#revision = await this.#meta.swap(key, this.#value(), found?.revision, true);
    return this.#revision !== undefined;
  }

  async #renew(revision: number): Promise<boolean> {
    const renewed = await this.#meta.swap(key, this.#value(), revision, true);
    if (renewed !== undefined) {
      this.#revision = renewed;
      return true;
    }
    // A renewal whose answer was lost is one all the same.
    const found = await this.#meta.get(key);
    const isOwn = found !== undefined && holderOf(found.value).id === this.#id;
    this.#revision = isOwn ? found.revision : undefined;
    return isOwn;
  }

  #value(): Uint8Array {
    return new TextEncoder().encode(this.#id + (this.#yields() ? yieldingMark : ""));
  }
}

function holderOf(value: Uint8Array): { readonly id: string; readonly yields: boolean } {
  const text = new TextDecoder().decode(value);
  const yields = text.endsWith(yieldingMark);
  return { id: yields ? text.slice(0, -yieldingMark.length) : text, yields };
}
