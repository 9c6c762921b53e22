import { limits } from "../base/limits.ts";
import type { Position } from "../events/cursor.ts";
import type { ControlFrame, TerminalDiagnostic, WatchSink, WireForm } from "./form.ts";
import { bookmark, type NoticeAt } from "./notices.ts";
import type { Surroundings } from "./surroundings.ts";

/** What the reader of one watch was handed: when, and up to which cursor, so that it is never left too long with an old one. */
export class Delivery<Entries, Frame> {
  readonly #around: Surroundings;
  readonly #form: WireForm<Entries, Frame>;
  readonly #sink: WatchSink<Frame>;
  /** Whether the sink takes frames. */
  #ready = true;
  #lastWriteMs: number;
  /** Ordinal of the newest cursor that the reader was given. */
  #toldOrdinal: number;

  /** @param from is where the reader is. */
  constructor(around: Surroundings, form: WireForm<Entries, Frame>, sink: WatchSink<Frame>, from: Position) {
    this.#around = around;
    this.#form = form;
    this.#sink = sink;
    this.#lastWriteMs = around.clock.monotonic();
    this.#toldOrdinal = from.ordinal;
  }

  get isReady(): boolean {
    return this.#ready;
  }

  /** Whether everything that was handed over is out of the sink's hands; false where that can't be known. */
  get isFlushed(): boolean {
    return this.#sink.flushed === true;
  }

  /** The sink takes frames again. */
  resume(): void {
    this.#ready = true;
  }

  /** Hands over a frame of events, after which the reader is at `through`. */
  events(frame: Frame, through: Position): void {
    this.#toldOrdinal = through.ordinal;
    this.#write(frame);
  }

  /** Hands over a frame without events that says where the reader is, for a reader at `position`. */
  tell(notice: NoticeAt, position: Position): void {
    this.control(notice(this.#around, position), position);
  }

  /** Hands over a frame without events. `position`: the cursor that it gives the reader. Default: none. */
  control(frame: ControlFrame, position?: Position): void {
    if (position !== undefined) this.#toldOrdinal = position.ordinal;
    this.#write(this.#form.control(frame));
  }

  /** Hands over a last frame or, without one, nothing, because the reader left. `end` of the sink is for later. */
  last(terminal: TerminalDiagnostic | undefined): void {
    if (terminal !== undefined) this.control({ case: "diagnostic", value: terminal });
  }

  /** Whether so much was passed over on the way to a position that the reader's newest cursor ages. */
  bookmarkDue(position: Position): boolean {
    return position.ordinal - this.#toldOrdinal >= limits.bookmarkEvents && this.#silentMs >= limits.bookmarkMs;
  }

  /**
   * Looks after silence; returns the milliseconds until the next look.
   * @param whole whether nothing is ever passed over.
   */
  beat(position: Position, heartbeatMs: number, whole: boolean): number {
    if (!this.#ready) return heartbeatMs;
    const silentMs = this.#silentMs;
    const nextBeat = (ms: number) => (whole ? ms : Math.min(ms, limits.bookmarkMs));
    if (silentMs < heartbeatMs && !this.bookmarkDue(position)) return nextBeat(heartbeatMs - silentMs);
    this.tell(bookmark, position);
    return nextBeat(heartbeatMs);
  }

  /** The sink lets go of everything. `terminal`: what was handed over last. */
  end(terminal: TerminalDiagnostic | undefined): void {
    this.#sink.end(terminal);
  }

  get #silentMs(): number {
    return this.#around.clock.monotonic() - this.#lastWriteMs;
  }

  #write(frame: Frame): void {
    this.#lastWriteMs = this.#around.clock.monotonic();
    if (!this.#sink.write(frame)) this.#ready = false;
  }
}
