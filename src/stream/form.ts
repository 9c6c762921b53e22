import type { WatchEventsResponse } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import type { Position } from "../events/cursor.ts";
import type { EventBlock } from "../log/block.ts";

/** A frame that carries no events. */
export type ControlFrame = Exclude<WatchEventsResponse["frame"], { case: "events" } | { case: undefined }>;

/**
 * A way to put frames on a wire. `Entries` holds the encoded events of one block, `Frame` is what a sink takes. Both are
 * immutable once given out: many watchers share them, and sockets still read them long after. No frame may need the bytes
 * of its block: of one that was read from the log they are soon those of another.
 */
export interface WireForm<Entries, Frame> {
  /** Watches of one tail whose forms have the same name share encodings, so the name says all that the bytes depend on. */
  readonly name: string;
  /** Prepares the encodings of a block. An event is encoded once, when it is first wanted. `whole`: all of them will be. */
  encode(block: EventBlock, whole?: boolean): Entries;
  /** Bytes that event `index` takes in a frame. */
  entrySize(entries: Entries, index: number): number;
  /** A frame of events, in order. `through` is the position after the last of them in the watch's scope. */
  events(runs: readonly EventRun<Entries>[], through: Position): Frame;
  /** A frame without events. */
  control(frame: ControlFrame): Frame;
  /** Bytes of a frame, to bound what is kept. */
  frameSize(frame: Frame): number;
  /** No frame is made of the block any more: what its entries took may serve another one. Absent: the collector sees to it. */
  release?(entries: Entries): void;
  /** Nobody reads the frame any more: its memory may become that of others. Absent: the collector sees to it. */
  reuse?(frame: Frame): void;
}

/** Some events of one block: those at `indices` or, without them, those in [`from`, `to`). */
export interface EventRun<Entries> {
  readonly entries: Entries;
  readonly from: number;
  readonly to: number;
  readonly indices?: readonly number[];
}

/** Where the frames of one watch go. Calls never overlap, and none comes after `end`. */
export interface WatchSink<Frame> {
  /** Takes a frame. False: no more until `Watch.resume()` is called, which must not happen within. Must not throw. */
  write(frame: Frame): boolean;
  /**
   * The watch is over; the sink lets go of everything. `terminal` is the diagnostic that was written last; undefined:
   * the reader left (its signal aborted).
   */
  end(terminal: TerminalDiagnostic | undefined): void;
  /**
   * Whether everything that was written is out of the sink's hands, so that nobody reads those frames any more. Absent:
   * it can't be known.
   */
  readonly flushed?: boolean;
}

/** A terminal diagnostic, as an edge needs it to end the stream. */
export type TerminalDiagnostic = Extract<ControlFrame, { case: "diagnostic" }>["value"];
