import type { Clock } from "../base/clock.ts";
import type { TailraceError } from "../base/errors.ts";
import type { CursorCodec, Position } from "../events/cursor.ts";
import type { EventLog, Scope } from "../log/contract.ts";
import type { Channel, ChannelMember } from "./channel.ts";
import type { TerminalDiagnostic, WireForm } from "./form.ts";
import type { Passes } from "./passes.ts";
import type { Selection } from "./selection.ts";
import type { Turns } from "./turns.ts";

/** How a scope ended. */
export interface ScopeEnd {
  /** Sequence of its last event. */
  readonly sequence: number;
  /** The diagnostic for a reader that has had it all, given its closing cursor. */
  diagnostic(cursor: string): TerminalDiagnostic;
}

/** Says how a scope ended, once it did. */
export type EndOfScope = (scope: Scope) => ScopeEnd | undefined;

/** What a watch needs of the tail that it belongs to. */
export interface Surroundings {
  readonly log: EventLog;
  readonly cursors: CursorCodec;
  readonly clock: Clock;
  readonly passes: Passes;
  readonly catchUps: Turns;
  readonly endOf: EndOfScope;
  /** Up to here, everything was put into the channels. */
  flushedHead(): Position;
  /** Puts everything that was committed into the channels, and hands it on. */
  flush(): void;
  /** Calls back after the next flush. Only while something committed waits for it. */
  afterFlush(callback: () => void): void;
  /** The channel of a selection and form; it keeps what comes from now on. */
  join<Entries, Frame>(
    selection: Selection,
    form: WireForm<Entries, Frame>,
    member: ChannelMember,
  ): Channel<Entries, Frame>;
  leave<Entries, Frame>(channel: Channel<Entries, Frame>, member: ChannelMember): void;
  /** So many more watches are live, or fewer. */
  countLive(change: 1 | -1): void;
  /** A watch ended. */
  left(member: ChannelMember): void;
  /** Why the log says that it can't be used now; undefined: it can. */
  logError(): TailraceError | undefined;
  /** Keeps the cause of a fault for the operator; what the reader hears. */
  internal(cause: unknown): TailraceError;
}
