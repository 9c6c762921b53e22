import { create } from "@bufbuild/protobuf";
import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import { EventBatchSchema, type WatchEventsResponse } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { readerLeft } from "../base/signals.ts";
import type { CursorCodec } from "../events/cursor.ts";
import { decodeEvent } from "../events/stored.ts";
import type { EventBlock } from "../log/block.ts";
import type { EventRun, WatchSink, WireForm } from "../stream/form.ts";
import type { Watch } from "../stream/watch.ts";

/** A frame of a watch, as code in the same process sees it. */
export type WatchFrame = Exclude<WatchEventsResponse["frame"], { case: undefined }>;

interface Decoded {
  readonly block: EventBlock;
  readonly events: Event[];
}

/** Frames as objects. Watches of one runtime share them: they must not be changed. */
export function objectForm(cursors: CursorCodec): WireForm<Decoded, WatchFrame> {
  return {
    name: "object",
    encode: (block) => ({ block, events: new Array<Event>(block.length) }),
    entrySize: ({ block }, index) => (block.ends[index] as number) - (block.starts[index] as number),
    events(runs, through) {
      const events = runs.flatMap((run) => eventsOf(run, cursors));
      const value = create(EventBatchSchema, { cursor: cursors.encode(through), runtimeId: cursors.runtimeId });
      // Assigned, because `create` would copy the row.
      value.events = events;
      return { case: "events", value };
    },
    control: (frame) => frame,
    frameSize: (frame) => (frame.case === "events" ? frame.value.events.length * assumedEventBytes : assumedEventBytes),
  };
}

/** What an event in memory is taken to weigh, in bytes, to bound how many recent frames are kept. */
const assumedEventBytes = 1024;

function eventsOf({ entries, from, to, indices }: EventRun<Decoded>, cursors: CursorCodec): Event[] {
  const eventAt = (index: number) => {
    entries.events[index] ??= decodeEvent(entries.block, cursors, index);
    return entries.events[index] as Event;
  };
  if (indices !== undefined) return indices.map(eventAt);
  return Array.from({ length: to - from }, (_, i) => eventAt(from + i));
}

/**
 * Hands frames to a `for await` loop: the next one is asked for only when the loop wants it, so a slow loop holds back
 * its own watch and nothing else.
 */
class FrameQueue implements WatchSink<WatchFrame>, AsyncIterator<WatchFrame, undefined> {
  /** Notices may follow a frame at once, before the loop had a turn: opened, gap, events. */
  readonly #frames: WatchFrame[] = [];
  #ended = false;
  #waiting: ((result: IteratorResult<WatchFrame, undefined>) => void) | undefined;
  #watch: Watch | undefined;
  readonly #leave: () => void;

  constructor(leave: () => void) {
    this.#leave = leave;
  }

  /** The watch that feeds the queue, once it is open. */
  set watch(watch: Watch) {
    this.#watch = watch;
  }

  write(frame: WatchFrame): boolean {
    if (this.#waiting !== undefined) {
      const deliver = this.#waiting;
      this.#waiting = undefined;
      deliver({ done: false, value: frame });
    } else {
      this.#frames.push(frame);
    }
    return false;
  }

  end(): void {
    this.#ended = true;
    this.#waiting?.({ done: true, value: undefined });
    this.#waiting = undefined;
  }

  next(): Promise<IteratorResult<WatchFrame, undefined>> {
    const frame = this.#frames.shift();
    if (frame !== undefined) return Promise.resolve({ done: false, value: frame });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    const next = new Promise<IteratorResult<WatchFrame, undefined>>((resolve) => {
      this.#waiting = resolve;
    });
    this.#watch?.resume();
    return next;
  }

  return(): Promise<IteratorResult<WatchFrame, undefined>> {
    this.#leave();
    this.#frames.length = 0;
    return Promise.resolve({ done: true, value: undefined });
  }
}

/** The frames of a watch, for `for await`. The watch opens with the first `next`; a loop that is left ends it. */
export function watchFrames(
  open: (sink: WatchSink<WatchFrame>, signal: AbortSignal) => Promise<Watch>,
  outer: AbortSignal | undefined,
): AsyncIterable<WatchFrame> {
  return {
    [Symbol.asyncIterator]: () => {
      const left = new AbortController();
      const signal = outer === undefined ? left.signal : AbortSignal.any([outer, left.signal]);
      const queue = new FrameQueue(() => left.abort(readerLeft));
      let opening: Promise<void> | undefined;
      const begin = async () => {
        queue.watch = await open(queue, signal);
      };
      return {
        next: async () => {
          opening ??= begin();
          await opening;
          return queue.next();
        },
        return: () => queue.return(),
      };
    },
  };
}
