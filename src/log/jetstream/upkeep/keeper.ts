import { randomUUID } from "node:crypto";
import type { Clock, StopTimer } from "../../../base/clock.ts";
import type { RetentionLimits } from "../../../base/limits.ts";
import { Lease } from "../bucket/lease.ts";
import type { Meta } from "../bucket/meta.ts";
import { isNoRoom } from "../errors.ts";
import type { Fold } from "../fold/fold.ts";
import type { Control } from "../publish/group.ts";
import type { Publisher } from "../publish/publisher.ts";
import type { KeeperRole } from "../stream/heads.ts";

/** Age is looked after at most this often, in milliseconds: events that fall due together go together. */
const minAgeCheckMs = 1_000;

/** What a keeper is made of. */
export interface KeeperParts {
  readonly fold: Fold;
  readonly meta: Meta;
  readonly publisher: Publisher;
  /** What this server wants of retention. */
  readonly retention: RetentionLimits;
  readonly clock: Clock;
  /** Does something again for which there was no room, with that which is kept for it. */
  withReserve(act: () => Promise<void>): Promise<void>;
}

/**
 * Has one of the servers of a log say what retention holds and what time it is. Who may is decided by the lease, and who does by
 * the stream, where everyone sees it at the same place: what another one says, which lost the lease without knowing, counts
 * for nothing.
 */
export class Keeper {
  readonly #id = randomUUID();
  readonly #parts: KeeperParts;
  readonly #lease: Lease;
  /** What was asked of `holdAfter` last; undefined: nothing yet. */
  #hold: number | undefined;
  /** The hold that was said last. Not a number: nobody knows whether it was. */
  #said: number | undefined;
  /** Whom the stream named last. */
  #named = "";
  #taking: Promise<unknown> | undefined;
  #stopAgeTimer: StopTimer | undefined;
  /** The stream's time when this server last had it, and what its own steady clock said then. */
  #time: { readonly streamMs: number; readonly ownMs: number } | undefined;
  #stopped = false;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    // One that nobody tells what to hold has no projections to keep: it would hold for ever what those that do have not kept.
    const yields = () => this.#hold === undefined;
    this.#lease = new Lease(parts.meta, this.#id, () => this.#takeOver(), yields);
  }

  /** Whether this server is it. */
  get isIt(): boolean {
    return this.#lease.isHeld && this.#parts.fold.keeper === this.#id;
  }

  /** Whether this server may be it: for what two may do at the same time. */
  get mayBe(): boolean {
    return this.#lease.isHeld;
  }

  /** Begins to take part. Settles when this server is it, or another one has the lease. */
  async start(): Promise<void> {
    this.#named = this.#parts.fold.keeper;
    await this.#lease.start();
    await this.#taking;
    this.#watchAge();
  }

  /** Every server has a hold, which is that of the log while it is the keeper. */
  holdAfter(sequence: number): void {
    if (this.#hold === undefined) this.#lease.hurry();
    this.#hold = sequence;
    this.#sayHold();
  }

  /** Says at once what may make room: what time it is, or that this server takes over. Gives whether that was said. */
  async sayWhatRemoves(): Promise<boolean> {
    if (this.#stopped || !this.mayBe) return false;
    if (this.isIt) return this.#say("keeps", {});
    this.#takeOver();
    await this.#taking;
    return this.isIt;
  }

  /** Something was folded. */
  folded(): void {
    if (this.#stopped) return;
    const { keeper } = this.#parts.fold;
    if (keeper !== this.#named) {
      this.#named = keeper;
      // Nobody looks after the stream now, or somebody does who may have lost the lease long ago.
      if (keeper !== this.#id) this.#lease.hurry();
      // It may have moved since this server said that it takes over.
      else this.#sayHold();
    }
    this.#watchAge();
  }

  /** Says and does nothing more. What is under way may end. */
  stop(): void {
    this.#stopped = true;
    this.#stopAgeTimer?.();
  }

  /** Leaves it to others, after `stop`. `inOrder`: they need not wait until they miss this one. */
  async leave(inOrder: boolean): Promise<void> {
    const { isIt } = this;
    await this.#lease.stop();
    if (inOrder && isIt) await this.#say("leaves", {});
  }

  /** The lease is ours: lets everyone know, if they don't yet, and what this server wants of retention. */
  #takeOver(): void {
    const { fold, retention } = this.#parts;
    if (this.#stopped) return;
    if (fold.keeper === this.#id) {
      // What was not said while there was no connection.
      this.#sayHold();
      return;
    }
    // Of what this server has not folded yet it can't say that nobody needs it: it does, once it has folded what it says here.
    const hold = this.#hold === undefined ? undefined : Math.min(this.#hold, fold.index.head.sequence);
    // Said again when the lease is renewed, if it is lost on the way.
    this.#said = hold;
    this.#taking ??= this.#say("takes", { retention, hold: hold ?? "state", trimsAll: true }).finally(() => {
      this.#taking = undefined;
    });
  }

  #sayHold(): void {
    const hold = this.#hold;
    if (hold === undefined || !this.isIt || this.#stopped) return;
    if (hold === (this.#said ?? this.#parts.fold.index.retention.hold)) return;
    this.#said = hold;
    void this.#say("keeps", { hold });
  }

  /** Gives whether it was said. */
  async #say(role: KeeperRole, control: Control): Promise<boolean> {
    const { publisher, fold, clock, withReserve } = this.#parts;
    let ownMs = 0;
    const say = () => {
      // Rather too early than too late, should the process stand still meanwhile: then the stream is only asked once more.
      ownMs = clock.monotonic();
      return publisher.control({ ...control, keeper: { id: this.#id, role } });
    };
    try {
      await say().catch((error: unknown) => {
        if (!isNoRoom(error)) throw error;
        // It may be what makes room: shorter retention.
        return withReserve(say);
      });
      this.#time = { streamMs: fold.index.timeMs, ownMs };
      return true;
    } catch {
      // Said when the lease is renewed, or by whoever takes over.
      this.#said = Number.NaN;
      return false;
    }
  }

  /** About what time it is in the stream, by which events age: by a clock that is ahead they would be due for ever. */
  #now(): number {
    const { clock } = this.#parts;
    return this.#time === undefined ? clock.now() : this.#time.streamMs + clock.monotonic() - this.#time.ownMs;
  }

  /** Comes back when the oldest event falls due: the keeper lets everyone know what time it is. */
  #watchAge(): void {
    const { clock, fold } = this.#parts;
    const { retention } = fold.index;
    const { maxAgeMs } = retention;
    if (this.#stopAgeTimer !== undefined || maxAgeMs === Number.POSITIVE_INFINITY || this.#stopped) return;
    const oldest = retention.oldestTime();
    if (oldest === undefined) return;
    const dueInMs = oldest + maxAgeMs + 1 - this.#now();
    const waitMs = Math.max(dueInMs, Math.min(minAgeCheckMs, maxAgeMs), 1);
    // A timer can't wait longer than 2^31 - 1 milliseconds.
    this.#stopAgeTimer = clock.after(Math.min(waitMs, 0x7fff_ffff), () => void this.#lookAtAge());
  }

  async #lookAtAge(): Promise<void> {
    // Nobody looks again before the stream's time is known.
    if (this.isIt && !this.#stopped) await this.#say("keeps", {});
    this.#stopAgeTimer = undefined;
    this.#watchAge();
  }
}
