import type { JetStreamManager } from "@nats-io/jetstream";
import { limits } from "../../../base/limits.ts";
import type { Meta } from "../bucket/meta.ts";
import type { Snapshots } from "../bucket/snapshots.ts";
import type { Fold } from "../fold/fold.ts";
import { SnapshotCut } from "../fold/snapshot.ts";
import { purge } from "./purge.ts";
import type { Removals } from "./removals.ts";
import { Sweep } from "./sweep.ts";

/** A snapshot takes its time; at least so many times as long passes until the next one. */
const restFactor = 20;

/** Messages since the newest snapshot for which there is another one where room is short, if nothing was removed. */
const minBehind = 64;

/** Of an account's storage. Beyond it dead messages wait for nobody. */
const tightShare = 0.9;

export interface SpaceParts {
  readonly manager: JetStreamManager;
  readonly namespace: string;
  readonly fold: Fold;
  readonly meta: Meta;
  readonly snapshots: Snapshots;
  /** Hears of what is removed here. */
  readonly removals: Removals;
  /** Whether this server may look after the stream now. */
  mayKeep(): boolean;
  /** As that of the keeper. */
  sayWhatRemoves(): Promise<boolean>;
}

/** The room that a log takes in NATS: keeps snapshots, and then removes what nobody needs. */
export class Space {
  readonly #parts: SpaceParts;
  readonly #sweep: Sweep;
  #keptThrough: number;
  /** The floor of the log when this server kept its newest snapshot; undefined: it kept none. */
  #keptFloor: number | undefined;
  #nextSnapshotMs = performance.now() + limits.natsSnapshotMs;
  /** Whether something was refused for want of room since room was made last. */
  #isFull = false;
  #nextReliefMs = 0;
  #nextReserveMs = 0;

  constructor(parts: SpaceParts) {
    this.#parts = parts;
    this.#sweep = new Sweep(parts.manager, parts.namespace);
    this.#keptThrough = parts.fold.last;
  }

  /** There was no room for something that was to be written. */
  full(): void {
    this.#isFull = true;
  }

  /** Whether there is no room, and it is time to make some. */
  get isReliefDue(): boolean {
    return this.#isFull && performance.now() >= this.#nextReliefMs;
  }

  /** The next snapshot is kept as soon as this server keeps up. */
  hurrySnapshot(): void {
    this.#nextSnapshotMs = 0;
  }

  /**
   * Makes room. Without the lease only what takes none: what is dead goes as far as a snapshot is kept already. With it what needs
   * least comes first, since it makes room for the rest, and the reserve is made whole before events come again.
   */
  async relieve(): Promise<void> {
    const { meta, snapshots, mayKeep, sayWhatRemoves } = this.#parts;
    const startedAtMs = performance.now();
    this.#isFull = false;
    this.#nextReserveMs = startedAtMs + limits.natsSnapshotMs;
    try {
      await this.#purge(await snapshots.through(), true);
      if (!mayKeep()) return;
      // Without that a snapshot would take what is left for nothing.
      if (await sayWhatRemoves()) {
        await this.#purge(await snapshots.through(), true);
        if (this.#isSnapshotOfUse) await this.#purge(await this.snapshot(), true);
      }
      if (!(await meta.keepReserve())) this.#isFull = true;
    } catch (error) {
      this.#isFull = true;
      throw error;
    } finally {
      this.#nextReliefMs = performance.now() + (performance.now() - startedAtMs) * restFactor;
    }
  }

  /**
   * Keeps the reserve and a snapshot, and removes what is dead, as often as each is due.
   * @param place sequence in the stream up to which messages may go, unless room is tight.
   */
  async keepUp(place: number): Promise<void> {
    const now = performance.now();
    if (now >= this.#nextReserveMs) {
      this.#nextReserveMs = now + limits.natsSnapshotMs;
      if (!(await this.#parts.meta.keepReserve())) this.full();
    }
    if (now < this.#nextSnapshotMs) return;
    try {
      const through = await this.snapshot();
      const tookMs = performance.now() - now;
      this.#nextSnapshotMs = performance.now() + Math.max(limits.natsSnapshotMs, tookMs * restFactor);
      const isTight = await this.#isAccountTight();
      const purgeable = Math.min(isTight ? through : place, through);
      if (purgeable > 0) await this.#purge(purgeable, isTight);
    } finally {
      // Also when that failed: what fails each time must not cost a whole snapshot with each look.
      this.#nextSnapshotMs = Math.max(this.#nextSnapshotMs, performance.now() + limits.natsSnapshotMs);
    }
  }

  /** Keeps a snapshot, unless nothing was folded since the last one. Gives the sequence in the stream that the newest holds. */
  async snapshot(): Promise<number> {
    const { fold, snapshots } = this.#parts;
    if (fold.last !== this.#keptThrough) {
      const { sequence } = fold.index.removal.floor;
      this.#keptThrough = await snapshots.write(new SnapshotCut(fold));
      this.#keptFloor = sequence;
    }
    return this.#keptThrough;
  }

  /** Whether it lets something be removed. What looking after the log says itself is not worth one. */
  get #isSnapshotOfUse(): boolean {
    const { fold } = this.#parts;
    return fold.index.removal.floor.sequence !== this.#keptFloor || fold.last - this.#keptThrough >= minBehind;
  }

  async #purge(through: number, thorough: boolean): Promise<void> {
    const { manager, namespace, fold, removals } = this.#parts;
    try {
      removals.removed(await purge(manager, namespace, fold, this.#sweep, through, thorough));
    } catch (error) {
      // How far it came nobody says, and what is gone by it was not purged by hand.
      removals.forget();
      throw error;
    }
  }

  /** Whether the account, which may have other streams, is nearly full. What its servers have nobody says. */
  async #isAccountTight(): Promise<boolean> {
    const account = await this.#parts.manager.getAccountInfo();
    return [account, ...Object.values(account.tiers ?? {})].some(
      (one) => one !== undefined && one.limits.max_storage > 0 && one.storage > one.limits.max_storage * tightShare,
    );
  }
}
