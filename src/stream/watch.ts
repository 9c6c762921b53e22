import { hasReason, TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Position } from "../events/cursor.ts";
import { diagnosticOf } from "../events/diagnostics.ts";
import type { Channel, ChannelMember } from "./channel.ts";
import { Delivery } from "./delivery.ts";
import { Ending } from "./ending.ts";
import type { ControlFrame, TerminalDiagnostic, WatchSink, WireForm } from "./form.ts";
import { skipLost } from "./loss.ts";
import { bookmark, caughtUp, fellBehind, logAway, type NoticeAt } from "./notices.ts";
import { Outage } from "./outage.ts";
import type { Pass } from "./passes.ts";
import type { Selection } from "./selection.ts";
import type { WatchSpec } from "./spec.ts";
import type { Surroundings } from "./surroundings.ts";

/** An open watch, as an edge sees it. */
export interface Watch {
  /** The sink takes frames again. */
  resume(): void;
}

/**
 * One watch: a position, and what its sink can take. It is `live` while it goes along its channel's frames, else it reads
 * the log in passes. Both hand frames to the same delivery, so replay and live are one path; the seam between them is `Channel.enter`.
 */
export class Watcher<Entries, Frame> implements Watch, ChannelMember {
  readonly spec: WatchSpec;
  readonly selection: Selection;
  /** What watches have in common that are ended together; undefined: nothing. */
  readonly group: object | undefined;
  /** Called once, at the end. */
  onEnd: (() => void) | undefined;
  readonly #around: Surroundings;
  readonly #form: WireForm<Entries, Frame>;
  readonly #delivery: Delivery<Entries, Frame>;
  readonly #ending: Ending;
  /** Undefined: the log could always be read. */
  #outage: Outage | undefined;
  /** Where it is, while it reads the log. While it is live, its channel knows. */
  #position: Position;
  #channel: Channel<Entries, Frame> | undefined;
  #live = false;
  /** Number of the next frame of the channel. */
  #next = 0;
  /** Number of the oldest frame of the channel that may not be out of the sink's hands. */
  #unsentFrom = 0;
  #reading = false;
  /** The frame of the last pass, if nobody else has it. */
  #own: Frame | undefined;
  #pumping = false;
  #ended = false;
  /** The newest phase that the reader was told. */
  #told: "replay" | "caught_up" | "fell_behind" | "log_unavailable" = "replay";
  /** Head of the log when it came to its channel: the reader hears that it is live after that. */
  #goal: number | undefined;

  constructor(
    around: Surroundings,
    spec: WatchSpec,
    selection: Selection,
    form: WireForm<Entries, Frame>,
    sink: WatchSink<Frame>,
    position: Position,
    group?: object,
  ) {
    this.group = group;
    this.#around = around;
    this.spec = spec;
    this.selection = selection;
    this.#form = form;
    this.#delivery = new Delivery(around, form, sink, position);
    this.#ending = new Ending(around, this);
    this.#position = position;
    selection.catchingUp++;
  }

  resume(): void {
    this.#delivery.resume();
    this.pump();
  }

  /** Everything wanted up to here was handed to the sink. */
  get position(): Position {
    const channel = this.#channel;
    if (!this.#live || channel === undefined) return this.#position;
    if (this.#next >= channel.end) return this.selection.position(this.#around.flushedHead());
    return this.#next >= channel.first ? channel.at(this.#next).before : this.#position;
  }

  get readsFrom(): number {
    return this.#unsentFrom;
  }

  get readsBefore(): number {
    return this.#delivery.isFlushed ? this.#unsentFrom : this.#next;
  }

  /** Writes whatever the sink takes. */
  pump(): void {
    // A sink that drains within `write` calls `resume` from inside the loop below, which goes on by itself.
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#delivery.isReady && !this.#ended && !this.#reading && this.#step());
    } finally {
      this.#pumping = false;
    }
  }

  /** Makes one step. False: nothing to do until something happens. */
  #step(): boolean {
    if (this.#outage?.waiting) return false;
    if (!this.#live) return !this.#endWith(this.#ending.forgotten()) && this.#catchUp();
    const channel = this.#channel as Channel<Entries, Frame>;
    if (this.#next < channel.first) return this.#fallBehind();
    if (this.#next < channel.end) {
      if (this.#delivery.isFlushed) this.#unsentFrom = this.#next;
      const record = channel.at(this.#next++);
      this.#position = record.through;
      this.#delivery.events(record.frame, record.through);
      return true;
    }
    if (this.#told !== "caught_up") {
      // While the log is away nobody knows whether this is all, except where the end of the scope is there.
      if (this.#around.logError() !== undefined) {
        this.#endWith(this.#ending.forgotten() ?? this.#ending.reached());
        return false;
      }
      // What was committed before comes before the notice, also if it is not in the channel yet.
      this.#goal ??= this.#around.log.bounds({ kind: "runtime" }).head.sequence;
      if (this.#around.flushedHead().sequence < this.#goal) {
        this.#around.afterFlush(() => this.pump());
        return false;
      }
      this.#goal = undefined;
      this.#told = "caught_up";
      this.#tell(caughtUp);
      return true;
    }
    this.#endWith(this.#ending.forgotten() ?? this.#ending.reached());
    return false;
  }

  /** The channel no longer keeps the next frame: the log has it, as long as retention holds it. */
  #fallBehind(): boolean {
    this.#leaveChannel();
    if (this.#told === "caught_up") {
      this.#told = "fell_behind";
      this.#tell(fellBehind);
    }
    return true;
  }

  /** Goes over to the channel if it has all that follows, else waits for its turn to read the log on. */
  #catchUp(): boolean {
    const head = this.#around.flushedHead();
    if (head.ordinal - this.#position.ordinal <= limits.catchUpPassEvents) {
      // From here on the channel keeps what comes, so a reader that is slower than the writer still arrives.
      this.#channel ??= this.#around.join(this.selection, this.#form, this);
    } else if (this.#channel !== undefined) {
      this.#leaveChannel();
    }
    const entry = this.#channel?.enter(this.#position.sequence);
    if (entry?.kind === "at") {
      this.#next = entry.number;
      this.#unsentFrom = entry.number;
      this.#own = undefined;
      this.#setLive(true);
      return true;
    }
    this.#reading = true;
    this.#around.catchUps.add(() => this.#read());
    return false;
  }

  /** Makes one pass over the log, as far as the channel or, without one, the head. */
  #read(): void {
    if (this.#ended) return;
    const { log, passes } = this.#around;
    this.#reuseOwn();
    if (this.#position.sequence < log.bounds(this.spec.scope).floor.sequence) {
      this.#took({ kind: "expired" });
      return;
    }
    const entry = this.#channel?.enter(this.#position.sequence);
    const until = entry?.kind === "behind" ? entry.until : this.#around.flushedHead().sequence;
    passes.get(this.selection, this.#form, this.#position.sequence, until).then(
      (pass) => this.#took(pass),
      (error: unknown) => this.#failed(error),
    );
  }

  #reuseOwn(): void {
    const frame = this.#own;
    this.#own = undefined;
    // A frame that a socket still reads from must not change.
    if (frame !== undefined && this.#delivery.isFlushed) this.#form.reuse?.(frame);
  }

  #took(pass: Pass<Frame>): void {
    // The floor may be ahead of what the channel has: it would give again what the reader is told that it lost.
    if (pass.kind === "expired") this.#around.flush();
    this.#reading = false;
    if (this.#ended) return;
    // What is still in memory can be read though the log is away.
    if (this.#around.logError() === undefined) this.#outage?.over();
    if (pass.kind === "expired") {
      if (!this.#expired()) return;
    } else {
      this.#position = pass.through;
      if (pass.frame !== undefined) {
        if (!pass.shared) this.#own = pass.frame;
        this.#delivery.events(pass.frame, pass.through);
      } else if (this.#delivery.isReady && this.#delivery.bookmarkDue(this.position)) {
        this.#tell(bookmark);
      }
    }
    this.pump();
  }

  /** The position left retention. True: the watch goes on after the gap. */
  #expired(): boolean {
    const { log, cursors } = this.#around;
    const skip = skipLost(log, cursors, this.spec, this.#position);
    if (skip instanceof TailraceError) {
      this.end(diagnosticOf(skip));
      return false;
    }
    this.#position = skip.position;
    this.#delivery.control({ case: "diagnostic", value: skip.gap }, skip.position);
    return true;
  }

  /** The log could not be read: say so, try again, and give up after a while. */
  #failed(error: unknown): void {
    this.#reading = false;
    if (this.#ended) return;
    if (!hasReason(error, "log_unavailable")) {
      this.end(diagnosticOf(this.#around.internal(error)));
      return;
    }
    this.logUnavailable(error);
    if (!this.#ended) this.#outage?.retryLater(() => this.pump());
  }

  /** The log can't be used: the reader is told once, and it ends after a while. */
  logUnavailable(error: TailraceError): void {
    if (this.#ended) return;
    this.#outage ??= new Outage(this.#around.clock);
    const next = this.#outage.met();
    if (next === "wait" || (next === "tell" && !this.#delivery.isReady)) return;
    if (next === "too long") {
      this.end(diagnosticOf(error, this.#around.cursors.encode(this.position)));
      return;
    }
    this.#outage.told();
    // It is told that it is live again when it is.
    if (this.#told === "caught_up") this.#told = "log_unavailable";
    this.#tell(logAway(error));
  }

  /** The log can be used again. */
  logAvailable(): void {
    this.#outage?.over();
    this.pump();
  }

  #endWith(terminal: TerminalDiagnostic | undefined): boolean {
    if (terminal !== undefined) this.end(terminal);
    return terminal !== undefined;
  }

  /** Looks after silence; returns the milliseconds until the next look. */
  beat(): number {
    return this.#delivery.beat(this.position, this.spec.heartbeatMs, this.selection.whole);
  }

  /** Writes a frame without events. */
  control(frame: ControlFrame): void {
    this.#delivery.control(frame);
  }

  #tell(notice: NoticeAt): void {
    this.#delivery.tell(notice, this.position);
  }

  /** Ends the watch with a last frame or, without one, because the reader left. */
  end(terminal: TerminalDiagnostic | undefined): void {
    if (this.#ended) return;
    this.#delivery.last(terminal);
    this.#ended = true;
    this.#outage?.over();
    this.#own = undefined;
    this.#leaveChannel();
    this.selection.catchingUp--;
    this.#around.left(this);
    this.onEnd?.();
    this.#delivery.end(terminal);
  }

  #setLive(live: boolean): void {
    if (live === this.#live) return;
    this.#live = live;
    this.selection.catchingUp += live ? -1 : 1;
    this.#around.countLive(live ? 1 : -1);
  }

  #leaveChannel(): void {
    this.#setLive(false);
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel !== undefined) this.#around.leave(channel, this);
    this.#next = 0;
    this.#unsentFrom = 0;
  }
}
