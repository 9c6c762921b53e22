import { setTimeout as delay } from "node:timers/promises";
import type { JetStreamClient } from "@nats-io/jetstream";
import { type Clock, systemClock } from "../../base/clock.ts";
import { TailraceError } from "../../base/errors.ts";
import { limits, type RetentionLimits } from "../../base/limits.ts";
import type { EventBlock } from "../block.ts";
import { PendingAppends } from "../commit/pending.ts";
import type { AppendBatch, AppendResult, LogHealth, LogIdentity } from "../contract.ts";
import type { Layout } from "../index/extents.ts";
import { type FetchedBytes, ReadableLog } from "../readable-log.ts";
import { appendErrorOf, isNoRoom, silent } from "./errors.ts";
import type { StreamMessage } from "./fold/assembly.ts";
import { catchUp } from "./fold/catch-up.ts";
import { Progress } from "./fold/progress.ts";
import { StreamTail } from "./fold/tail.ts";
import { FullWatch } from "./health/full-watch.ts";
import { Health } from "./health/health.ts";
import { FullGate } from "./publish/full-gate.ts";
import { Publisher } from "./publish/publisher.ts";
import { StreamTime } from "./publish/stream-time.ts";
import { DirectGets } from "./read/direct-gets.ts";
import { MissingMessages, Reader } from "./read/reader.ts";
import { streamInfo } from "./stream/info.ts";
import { streamOf } from "./stream/subjects.ts";
import { beyondWall } from "./stream/wall.ts";
import { Keeper } from "./upkeep/keeper.ts";
import { Losses } from "./upkeep/losses.ts";
import { Maintenance, type MaintenanceParts } from "./upkeep/maintenance.ts";

/** Messages that are folded while the log is opened until it is looked again whether they still come. */
const replayStep = 10_000;

/** What a log on JetStream is made of. */
export interface LogParts extends MaintenanceParts {
  readonly client: JetStreamClient;
  /** What this server wants of retention, which holds for all as long as it has the lease. */
  readonly retention: RetentionLimits;
  readonly clock: Clock;
  /** Whether events are of the time of `clock`; else of that of the stream. */
  readonly saysTime: boolean;
}

/**
 * A log in a stream of NATS JetStream. Every server that has it open folds the whole stream into an index of its own, so all
 * know the same as soon as they have come as far. Made by `openJetStreamLog`.
 */
export class JetStreamLog extends ReadableLog {
  readonly identity: LogIdentity;
  readonly #parts: LogParts;
  readonly #publisher: Publisher;
  readonly #reader: Reader;
  readonly #health: Health;
  readonly #gate: FullGate;
  readonly #full: FullWatch;
  readonly #keeper: Keeper;
  readonly #maintenance: Maintenance;
  readonly #losses: Losses;
  readonly #progress = new Progress(() => this.unavailable("This server is behind the log. Try again."));
  readonly #time = new StreamTime(systemClock);
  readonly #tell = (block: EventBlock, unread: () => void) => this.tell(block, unread);
  readonly #tellState = (puts: ReadonlyMap<string, Uint8Array | null>) => this.tellState(puts);
  #tail: StreamTail | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: LogParts) {
    super(parts.fold.index, parts.clock);
    const { link, namespace, clock, fold, manager, kept } = parts;
    const { runtimeId, generation } = kept.identity;
    this.identity = { runtimeId, generation };
    this.#parts = parts;
    const pending = new PendingAppends<never>(this.index);
    this.#publisher = new Publisher(link, namespace, pending, clock, parts.saysTime, {
      folded: () => fold.last,
      streamTimeMs: () => this.#time.nowMs,
      stored: ({ sequence, sentAtMs, whole }) => {
        this.#time.stored(sequence, sentAtMs);
        // Everyone folds it there, whatever comes before it: else that comes first, by the tail.
        if (whole !== undefined && fold.isNext(sequence)) this.#take({ sequence, timeMs: undefined, payload: whole });
      },
      assertUsable: () => this.assertUsable(),
      assertReachable: () => this.#health.assertWritable(),
      assertRoom: () => this.#gate.assertOpen(),
      acknowledged: (kind) => {
        this.#health.acknowledged(kind);
        if (kind === "events") this.#gate.acknowledged();
      },
      refused: (error, kind, isProbe) => {
        if (!isNoRoom(error)) this.#health.refused(error, kind, isProbe);
        else {
          this.#health.noRoom(kind);
          this.#noRoom(error);
        }
      },
      unanswered: (write, isOver) => this.#health.unanswered(write, isOver),
    });
    this.#health = new Health(link, namespace, {
      changed: (isAvailable) => this.#availabilityChanged(isAvailable),
      probe: (kind) => this.#publisher.probe(kind),
      hearAgain: () => this.#hearAgain(),
    });
    this.#full = new FullWatch(namespace, parts.report, systemClock);
    this.#gate = new FullGate({
      clock: systemClock,
      isReserveInUse: () => parts.meta.isReserveInUse(),
      probe: () => {
        if (link.awaySinceMs === undefined) this.#publisher.probe("events");
      },
      changed: (error) => {
        if (error !== undefined) this.#publisher.refuseEvents(error);
        this.#full.changed(error !== undefined);
      },
    });
    const source = { direct: new DirectGets(link, manager.direct), streams: manager.streams };
    this.#reader = new Reader(source, namespace, fold, () => this.#health.assertReadable());
    this.#keeper = new Keeper({
      ...parts,
      publisher: this.#publisher,
      withReserve: async (act) => {
        await parts.meta.letGoOfReserve();
        await beyondWall(manager, namespace, act);
      },
    });
    this.#losses = new Losses({ ...parts, publisher: this.#publisher, caughtUp: () => this.#caughtUp() });
    this.#maintenance = new Maintenance(parts, this.#keeper, {
      lost: (messages) =>
        this.#reported(messages === undefined ? this.#losses.reportAllWith([]) : this.#losses.report(messages)),
      answers: (isAnswer) => this.#health.stream(isAnswer),
      looked: (newest) => this.#health.looked(newest, Math.max(fold.last, fold.newest?.sequence ?? 0)),
      noRoom: (error) => this.#noRoom(appendErrorOf(error, clock.now())),
      failed: (message, cause) => this.#giveUp(message, cause),
    });
  }

  /**
   * Follows the stream and settles when everything is folded up to a sequence in it.
   * @param there the newest one that can come.
   * @throws StreamGap where messages are missing, TailraceError `log_open_failed` if NATS sends nothing for `natsOpenMs`.
   */
  async follow(through: number, there: number): Promise<void> {
    const { link, client, namespace, fold } = this.#parts;
    this.#tail = await StreamTail.open(link, client, streamOf(namespace), fold.last + 1, {
      take: ({ sequence, takenAtMs, payload }) => {
        this.#time.heard(sequence, takenAtMs);
        this.#take({ sequence, timeMs: Math.floor(takenAtMs), payload });
      },
      onRunning: (isRunning) => this.#health.tail(isRunning),
    });
    const isReached = () => fold.last >= Math.min(through, there);
    while (!isReached()) {
      const { last } = fold;
      await this.#progress
        .until(() => isReached() || fold.last >= last + replayStep, limits.natsOpenMs)
        .catch((error) => {
          if (this.#progress.stopped !== undefined) throw error;
          if (fold.last === last) throw silent(link.servers, error);
        });
    }
    fold.passOver(through);
  }

  /** Begins to take part. */
  async start(): Promise<void> {
    await this.#keeper.start();
    this.#maintenance.start();
  }

  /** Lets go of everything without having taken part. */
  async abandon(): Promise<void> {
    this.markClosed();
    this.#keeper.stop();
    this.#stopHealth();
    await this.#tail?.close();
  }

  override get isShared(): boolean {
    return true;
  }

  override get isKeeper(): boolean {
    return this.#keeper.isIt;
  }

  append(batch: AppendBatch): Promise<AppendResult> {
    return this.#publisher.append(batch);
  }

  async reach(sequence: number): Promise<boolean> {
    this.assertUsable();
    const isReached = () => this.index.head.sequence >= sequence;
    if (isReached()) return true;
    await this.#caughtUp(isReached);
    // Everything that was in the stream is folded: nobody gave this one out.
    return isReached();
  }

  holdAfter(sequence: number): void {
    this.#keeper.holdAfter(sequence);
  }

  override health(): LogHealth {
    const health = super.health();
    if (health.available) return this.#health.now();
    return this.failed ? { ...health, ended: true } : health;
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  protected async fetch(layout: Layout, memory: Uint8Array | undefined): Promise<FetchedBytes | undefined> {
    try {
      return await this.#reader.fetch(layout, memory);
    } catch (error) {
      if (error instanceof TailraceError) throw error;
      if (!(error instanceof MissingMessages)) throw this.unavailable("The log can't be read right now.", error);
      await this.#reported(this.#losses.reportAllWith(error.sequences));
      return undefined;
    }
  }

  #noRoom(error: TailraceError): void {
    this.#maintenance.noRoom();
    this.#gate.refused(error);
  }

  #stopHealth(): void {
    this.#health.stop();
    this.#gate.stop();
    this.#full.stop();
  }

  #hearAgain(): void {
    this.#tail?.again();
    // What it was to hear may be purged, which only something newer shows.
    this.#publisher.probe("changes");
  }

  #availabilityChanged(isAvailable: boolean): void {
    if (this.closed || this.failed) return;
    if (!isAvailable) {
      const health = this.#health.now();
      if (!health.available) this.#publisher.refuse(health.error);
    }
    this.tellHealth();
  }

  #take(message: StreamMessage): void {
    if (this.#progress.stopped !== undefined) return;
    try {
      const folded = this.#parts.fold.take(message, this.#tell, this.#tellState);
      if (folded !== undefined) this.#publisher.folded(folded);
    } catch (error) {
      this.#progress.stop(error as Error);
      this.#giveUp("The log's stream is not what this server knew of it. Start the server again.", error);
      return;
    }
    this.#progress.look();
    this.#keeper.folded();
  }

  /** @throws TailraceError where what was lost could not be reported. */
  async #reported(report: Promise<boolean>): Promise<boolean> {
    try {
      return await report;
    } catch (error) {
      if (error instanceof TailraceError) throw error;
      throw this.failure ?? this.unavailable("The log can't be read right now.", error);
    }
  }

  /** Settles when this server has folded what the stream has now, or enough of it. @throws TailraceError `log_unavailable`. */
  async #caughtUp(isEnough: () => boolean = () => false): Promise<void> {
    // Only here: whoever waits already waits on through an outage.
    this.#health.assertReadable();
    const { link, fold, manager, namespace } = this.#parts;
    const parts = {
      link,
      // Not by the clock of the log, which a test moves: NATS takes its time.
      clock: systemClock,
      progress: this.#progress,
      folded: () => fold.last,
      newest: async () => (await streamInfo(manager, streamOf(namespace))).state.last_seq,
      assertUsable: () => this.assertUsable(),
    };
    await catchUp(parts, isEnough);
  }

  #giveUp(message: string, cause: unknown): void {
    if (this.closed && this.#closing === undefined) return;
    this.#publisher.abort(this.fail(message, cause));
    this.#stopHealth();
    this.#keeper.stop();
    void this.#maintenance.stop(false).then(() => this.#keeper.leave(false));
  }

  async #close(): Promise<void> {
    this.markClosed();
    this.#keeper.stop();
    const late = new AbortController();
    await Promise.race([this.#finish(), delay(limits.natsCloseMs, undefined, { signal: late.signal })]).catch(
      () => undefined,
    );
    late.abort();
    void this.#maintenance.stop(false);
    void this.#keeper.leave(false);
    this.#publisher.abort(this.unavailable("The log is closed."));
    this.#stopHealth();
    this.dropListeners();
    void this.#tail?.close().catch(() => undefined);
    await this.#parts.link.close();
  }

  /** Commits what was appended, and leaves what this server looked after to others. */
  async #finish(): Promise<void> {
    if (!this.#health.isAvailable) return;
    await this.#publisher.drained();
    const isInOrder = this.failure === undefined;
    await this.#maintenance.stop(isInOrder);
    await this.#keeper.leave(isInOrder);
  }
}
