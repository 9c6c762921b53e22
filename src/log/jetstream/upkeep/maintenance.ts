import type { JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import { hasReason } from "../../../base/errors.ts";
import type { ReportError } from "../../../base/incident.ts";
import { limits } from "../../../base/limits.ts";
import { type KeptIdentity, noteIdentity } from "../bucket/identity.ts";
import type { Meta } from "../bucket/meta.ts";
import type { Snapshots } from "../bucket/snapshots.ts";
import type { NatsLink } from "../connection/connect.ts";
import { isNoAnswer, isNoRoom } from "../errors.ts";
import type { Fold } from "../fold/fold.ts";
import { BucketWatch } from "../health/bucket-watch.ts";
import { SettingsWatch } from "../health/settings-watch.ts";
import type { StreamOptions } from "../stream/settings.ts";
import { findStream } from "../stream/stream.ts";
import { streamOf } from "../stream/subjects.ts";
import { isWallRaised, lowerWall } from "../stream/wall.ts";
import { HistoryCheck } from "./history-check.ts";
import type { Keeper } from "./keeper.ts";
import type { LostMessages } from "./lost.ts";
import { Mark } from "./mark.ts";
import { Places } from "./places.ts";
import { Removals } from "./removals.ts";
import { Space } from "./space.ts";

/** What maintenance is made of. */
export interface MaintenanceParts {
  readonly link: NatsLink;
  readonly manager: JetStreamManager;
  /** The same, for questions that are asked again soon. */
  readonly quick: JetStreamManager;
  readonly meta: Meta;
  readonly snapshots: Snapshots;
  readonly namespace: string;
  /** How the stream was asked for. */
  readonly stream: StreamOptions;
  readonly kept: KeptIdentity;
  readonly fold: Fold;
  /** Takes what goes wrong and is tried again. */
  readonly report: ReportError;
}

/** What is done with what is found. */
export interface MaintenanceActions {
  /** Messages are gone that retention may have kept (undefined: those that the stream says). Gives whether it did keep some. */
  lost(messages: LostMessages | undefined): Promise<boolean>;
  /** The stream is asked for something, or has answered. */
  answers(isAnswer: boolean): void;
  /** The stream was looked at, and this is the sequence of its newest message. */
  looked(newest: number): void;
  /** Something was not written because NATS has no room. */
  noRoom(error: unknown): void;
  /** The log can't go on. */
  failed(message: string, cause: unknown): void;
}

/**
 * Looks at the stream every `natsLookMs`: every server sees whether it still is the one it knew; the one with the lease raises
 * the mark, and sees to its space.
 */
export class Maintenance {
  readonly #parts: MaintenanceParts;
  readonly #keeper: Keeper;
  readonly #actions: MaintenanceActions;
  readonly #history: HistoryCheck;
  readonly #mark: Mark;
  readonly #space: Space;
  readonly #places = new Places();
  readonly #removals = new Removals();
  readonly #bucket: BucketWatch;
  readonly #settings: SettingsWatch;
  /** Nothing that is retained was before this message of the stream. */
  #firstKnown = 0;
  /** The newest wish for a snapshot that was heard. */
  #wanted = 0;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> | undefined;
  #stopped = false;
  #nextReportMs = 0;

  constructor(parts: MaintenanceParts, keeper: Keeper, actions: MaintenanceActions) {
    this.#parts = parts;
    this.#keeper = keeper;
    this.#actions = actions;
    this.#bucket = new BucketWatch(parts.namespace, parts.report);
    this.#settings = new SettingsWatch(parts.stream, parts.report);
    this.#history = new HistoryCheck(parts);
    this.#mark = new Mark({ ...parts, bucket: this.#bucket, failed: actions.failed });
    this.#space = new Space({
      ...parts,
      removals: this.#removals,
      mayKeep: () => keeper.mayBe,
      sayWhatRemoves: () => keeper.sayWhatRemoves(),
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
      await this.#mark.raise();
      await this.#space.snapshot();
    } catch {
      // It costs the next one some time, and nothing else.
    }
  }

  /** There was no room for something that was to be written. */
  noRoom(): void {
    this.#space.full();
  }

  async #look(): Promise<void> {
    const { quick, namespace } = this.#parts;
    const folded = this.#history.folded();
    this.#actions.answers(false);
    const stream = await findStream(quick, streamOf(namespace)).catch((error: unknown) => {
      this.#bucket.forget();
      throw error;
    });
    const history = await this.#history.of(stream, this.#mark.identity, folded);
    if (history === "short") return;
    this.#actions.answers(true);
    if (stream === undefined || history !== "same") {
      // This server may be the only one that knows how far it was: who opens what is left must not take it for that.
      const isReplaced = stream !== undefined && history === "replaced";
      await (isReplaced ? this.#mark.beginAnew(stream) : this.#mark.raiseAnew()).catch(() => undefined);
      const found = stream && `made ${stream.created}, at ${stream.state.last_seq}, was at ${folded.last}`;
      this.#actions.failed(
        "The log's stream was deleted, made again or restored from a backup. Start the server again: it begins a new generation.",
        new Error(found ?? "no stream"),
      );
      return;
    }
    this.#actions.looked(stream.state.last_seq);
    this.#settings.look(stream.config);
    await this.#mark.check();
    if (!this.#stopped) await this.#lookAfter(stream);
  }

  async #lookAfter(stream: StreamInfo): Promise<void> {
    const { manager, namespace, fold } = this.#parts;
    const place = this.#places.purgeable(stream, fold.last);
    const isFull = this.#space.isReliefDue;
    // Before anything is written: what is kept for that is not much.
    if (isFull) await this.#space.relieve();
    if (!this.#keeper.mayBe) {
      this.#removals.forget();
      return;
    }
    if (isWallRaised(stream.config)) await lowerWall(manager, namespace);
    // Whoever raised the limit in the moment in which it was noted may have put back what was there before.
    await noteIdentity(manager, stream, this.#mark.identity);
    await this.#tellLosses(stream);
    const { wanted = 0 } = this.#mark.identity;
    if (wanted > this.#wanted) this.#space.hurrySnapshot();
    this.#wanted = wanted;
    await this.#mark.raise();
    if (!isFull) await this.#space.keepUp(place);
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
    if (isLost) this.#space.hurrySnapshot();
  }

  /** Something failed that is tried again. That NATS is away, silent or full is said elsewhere. */
  #missed(error: unknown): void {
    if (isNoRoom(error)) {
      this.#actions.noRoom(error);
      return;
    }
    const { link, report } = this.#parts;
    if (this.#stopped || link.awaySinceMs !== undefined || isNoAnswer(error)) return;
    // What the log refuses by itself, it says is missing.
    if (hasReason(error, "log_unavailable") && error.cause === undefined) return;
    if (performance.now() < this.#nextReportMs) return;
    this.#nextReportMs = performance.now() + limits.natsTroubleMs;
    report(new Error("Looking after the log's stream failed. It is tried again.", { cause: error }));
  }
}
