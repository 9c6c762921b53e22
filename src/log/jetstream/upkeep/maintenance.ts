import type { StreamInfo } from "@nats-io/jetstream";
import { hasReason } from "../../../base/errors.ts";
import { limits } from "../../../base/limits.ts";
import { bornNow, fits, type KeptIdentity, readIdentity, writeIdentity } from "../bucket/identity.ts";
import { isNoAnswer, isNoRoom } from "../errors.ts";
import type { Fold } from "../fold/fold.ts";
import { SnapshotCut } from "../fold/snapshot.ts";
import { BucketWatch } from "../health/bucket-watch.ts";
import { SettingsWatch } from "../health/settings-watch.ts";
import type { LogParts } from "../jetstream-log.ts";
import { findStream, isNoStream } from "../stream/stream.ts";
import { streamOf } from "../stream/subjects.ts";
import { isWallRaised, lowerWall } from "../stream/wall.ts";
import type { Keeper } from "./keeper.ts";
import type { LostMessages } from "./lost.ts";
import { Places } from "./places.ts";
import { purge } from "./purge.ts";
import { Removals } from "./removals.ts";
import { Sweep } from "./sweep.ts";

/** A snapshot takes its time; at least so many times as long passes until the next one. */
const restFactor = 20;

/** Of an account's storage. Beyond it dead messages wait for nobody. */
const tightShare = 0.9;

/** Losses of the connection without an answered look at the stream in between, of which it is known where the log was. */
const maxLosses = 64;

/** What is done with what is found. */
export interface MaintenanceActions {
  /** Messages are gone that retention may have kept (undefined: those that the stream says). Gives whether it did keep some. */
  lost(messages: LostMessages | undefined): Promise<boolean>;
  /** The stream is asked for something, or has answered. */
  answers(isAnswer: boolean): void;
  /** The stream was looked at, and this is the sequence of its newest message. */
  looked(newest: number): void;
  /** The log can't go on. */
  failed(message: string, cause: unknown): void;
}

/**
 * Looks after the stream: every server sees whether it still is the one it knew; the one with the lease raises the mark,
 * keeps snapshots, and then removes what nobody needs.
 */
export class Maintenance {
  readonly #parts: LogParts;
  readonly #keeper: Keeper;
  readonly #actions: MaintenanceActions;
  #kept: KeptIdentity;
  #keptThrough: number;
  /** Nothing that is retained was before this message of the stream. */
  #firstKnown = 0;
  /** Whether the stream seemed to have lost messages when it was asked last. */
  #isShort = false;
  /** The newest message at each loss of the connection since the last look: what came after it may be of another history. */
  #beforeLosses: readonly NonNullable<Fold["newest"]>[] = [];
  #nextSnapshotMs = performance.now() + limits.natsSnapshotMs;
  readonly #places = new Places();
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> | undefined;
  #stopped = false;
  #nextReportMs = 0;
  /** Whether something was refused for want of room since room was made last. */
  #isFull = false;
  #nextReliefMs = 0;
  #nextReserveMs = 0;
  readonly #sweep: Sweep;
  readonly #removals = new Removals();
  /** The newest wish for a snapshot that was heard. */
  #wanted = 0;
  readonly #bucket: BucketWatch;
  readonly #settings: SettingsWatch;

  constructor(parts: LogParts, keeper: Keeper, actions: MaintenanceActions) {
    this.#parts = parts;
    this.#keeper = keeper;
    this.#actions = actions;
    this.#sweep = new Sweep(parts.manager, parts.namespace);
    this.#bucket = new BucketWatch(parts.namespace, parts.report);
    this.#settings = new SettingsWatch(parts.stream, parts.report);
    this.#kept = parts.kept;
    this.#keptThrough = parts.fold.last;
    parts.link.subscribe((connected) => {
      const { newest } = parts.fold;
      if (connected || newest === undefined) return;
      // One of its own, also for the same message: it is not what a look that is under way has asked for.
      const others = this.#beforeLosses.filter(({ sequence }) => sequence !== newest.sequence);
      this.#beforeLosses = [...others, { ...newest }].slice(-maxLosses);
    });
  }

  start(): void {
    this.#timer = setInterval(() => {
      // What fails now is done the next time.
      this.#turn ??= this.#look()
        .catch((error: unknown) => this.#missed(error))
        .finally(() => {
          this.#turn = undefined;
        });
    }, limits.natsLookMs);
    this.#timer.unref();
  }

  /** Stops. `inOrder`: with a last mark and snapshot, so that the next one to open has little to fold. */
  async stop(inOrder: boolean): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#turn;
    if (!inOrder || !this.#keeper.mayBe) return;
    try {
      await this.#mark();
      await this.#snapshot();
    } catch {
      // It costs the next one some time, and nothing else.
    }
  }

  async #look(): Promise<void> {
    const { manager, quick, namespace, fold } = this.#parts;
    const { last, newest } = fold;
    const losses = this.#beforeLosses;
    const known = losses.length > 0 || newest === undefined ? losses : [newest];
    this.#actions.answers(false);
    const stream = await findStream(quick, streamOf(namespace)).catch((error: unknown) => {
      this.#bucket.forget();
      throw error;
    });
    const identity = { ...this.#kept.identity, highWater: { stream: last, sequence: 0 } };
    const isOther = stream !== undefined && (await this.#isReplaced(known));
    const isThere = stream !== undefined && fits(identity, stream) && !isOther;
    this.#isShort = !isThere && !isOther && stream?.created === identity.streamCreated && !this.#isShort;
    // One that has just lost the lead may still answer, and not know of everything.
    if (this.#isShort) return;
    this.#actions.answers(true);
    if (isThere) this.#actions.looked(stream.state.last_seq);
    if (isThere) this.#beforeLosses = this.#beforeLosses.filter((loss) => !losses.includes(loss));
    if (stream === undefined || !isThere) {
      // This server may be the only one that knows how far it was: who opens what is left must not take it for that.
      await (isOther ? this.#beginAnew(stream) : this.#markAnew()).catch(() => undefined);
      this.#actions.failed(
        "The log's stream was deleted, made again or restored from a backup. Start the server again: it begins a new generation.",
        new Error(
          stream === undefined ? "no stream" : `made ${stream.created}, at ${stream.state.last_seq}, was at ${last}`,
        ),
      );
      return;
    }
    this.#settings.look(stream.config);
    await this.#checkGeneration();
    if (this.#stopped) return;
    const place = this.#places.purgeable(stream, fold.last);
    const isFull = this.#isFull && performance.now() >= this.#nextReliefMs;
    // Before anything is written: what is kept for that is not much.
    if (isFull) await this.#makeRoom();
    if (!this.#keeper.mayBe) {
      this.#removals.forget();
      return;
    }
    if (isWallRaised(stream.config)) await lowerWall(manager, namespace);
    await this.#tellLosses(stream);
    const { wanted = 0 } = this.#kept.identity;
    if (wanted > this.#wanted) this.#nextSnapshotMs = 0;
    this.#wanted = wanted;
    await this.#mark();
    if (!isFull) await this.#keepUp(place);
  }

  /** What somebody purged by hand. A snapshot soon after it is all that a server which is opened then can go on from. */
  async #tellLosses({ state }: StreamInfo): Promise<void> {
    const { first_seq: first } = state;
    let isLost = false;
    if (first > this.#firstKnown) {
      isLost = await this.#actions.lost({ from: this.#firstKnown, before: first });
      this.#firstKnown = first;
    }
    if (this.#removals.areOfOthers(state)) {
      await this.#actions.lost(undefined);
      // State may have gone as well, of which nobody is told.
      isLost = true;
    }
    this.#removals.note(state);
    if (isLost) this.#nextSnapshotMs = 0;
  }

  /** There was no room for something that was to be written. */
  noRoom(): void {
    this.#isFull = true;
  }

  /** Without the lease only what takes no room: what is dead goes as far as a snapshot is kept already. */
  async #makeRoom(): Promise<void> {
    const startedAtMs = performance.now();
    this.#isFull = false;
    this.#nextReserveMs = startedAtMs + limits.natsSnapshotMs;
    try {
      await this.#purge(await this.#parts.snapshots.through(), true);
      if (this.#keeper.mayBe) await this.#purge(await this.#snapshot(), true);
    } catch (error) {
      this.#isFull = true;
      throw error;
    } finally {
      this.#nextReliefMs = performance.now() + (performance.now() - startedAtMs) * restFactor;
    }
  }

  async #keepUp(place: number): Promise<void> {
    const now = performance.now();
    if (now >= this.#nextReserveMs) {
      this.#nextReserveMs = now + limits.natsSnapshotMs;
      await this.#parts.meta.keepReserve();
    }
    if (now < this.#nextSnapshotMs) return;
    try {
      const through = await this.#snapshot();
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

  async #purge(through: number, thorough: boolean): Promise<void> {
    const { manager, namespace, fold } = this.#parts;
    try {
      this.#removals.removed(await purge(manager, namespace, fold, this.#sweep, through, thorough));
    } catch (error) {
      // How far it came nobody says, and what is gone by it was not purged by hand.
      this.#removals.forget();
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

  /** Something failed that is tried again. That NATS is away, or silent, is said elsewhere. */
  #missed(error: unknown): void {
    if (isNoRoom(error)) this.#isFull = true;
    const { link, report } = this.#parts;
    if (this.#stopped || link.awaySinceMs !== undefined || isNoAnswer(error)) return;
    // What the log refuses by itself, it says is missing.
    if (hasReason(error, "log_unavailable") && error.cause === undefined) return;
    if (performance.now() < this.#nextReportMs) return;
    this.#nextReportMs = performance.now() + limits.natsTroubleMs;
    report(new Error("Looking after the log's stream failed. It is tried again.", { cause: error }));
  }

  /**
   * Whether the stream has another message where this server has folded one: it was restored from a backup, and may have
   * grown beyond where it was since. One that is gone says nothing.
   */
  async #isReplaced(known: readonly NonNullable<Fold["newest"]>[]): Promise<boolean> {
    const { quick, namespace } = this.#parts;
    for (const { sequence, timeMs } of known) {
      const found = await quick.streams.getMessage(streamOf(namespace), { seq: sequence });
      // Times are rounded in more than one way.
      if (found !== null && Math.abs(found.time.getTime() - timeMs) > 1) return true;
    }
    return false;
  }

  /** Begins a new generation, unless somebody has. */
  async #beginAnew(stream: StreamInfo): Promise<void> {
    const { fold, meta } = this.#parts;
    const found = await readIdentity(meta);
    if (found === undefined || found.identity.generation !== this.#kept.identity.generation) return;
    const highWater = {
      stream: fold.last,
      sequence: Math.max(fold.index.head.sequence, found.identity.highWater.sequence),
    };
    await writeIdentity(meta, bornNow(stream, { ...found.identity, highWater }, undefined), found.revision);
  }

  /** Raises the mark to where the log is. */
  async #mark(): Promise<void> {
    const { fold, meta } = this.#parts;
    const highWater = { stream: fold.last, sequence: fold.index.head.sequence };
    // Of two that have the lease by accident one may be behind.
    if (highWater.stream <= this.#kept.identity.highWater.stream) return;
    const written = await writeIdentity(meta, { ...this.#kept.identity, highWater }, this.#kept.revision);
    if (written === undefined) await this.#checkGeneration();
    else this.#kept = written;
  }

  /** Raises the mark from where it is now: the bucket may have gone back along with the stream. */
  async #markAnew(): Promise<void> {
    await this.#checkGeneration();
    await this.#mark();
  }

  /** Sequences are given out by one generation only, whoever has begun another one. */
  async #checkGeneration(): Promise<void> {
    let found: KeptIdentity | undefined;
    try {
      found = await this.#bucket.ask(() => readIdentity(this.#parts.meta));
    } catch (error) {
      if (!isNoStream(error)) throw error;
      this.#actions.failed(
        "The bucket of the log's stream was deleted. Start the server again: it begins a new generation.",
        error,
      );
      return;
    }
    if (found?.identity.generation !== this.#kept.identity.generation) {
      this.#actions.failed(
        "The log has begun a new generation. Start the server again.",
        new Error("other generation"),
      );
    } else {
      this.#kept = found;
    }
  }

  async #snapshot(): Promise<number> {
    const { fold, snapshots } = this.#parts;
    if (fold.last !== this.#keptThrough) this.#keptThrough = await snapshots.write(new SnapshotCut(fold));
    return this.#keptThrough;
  }
}
