import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { StreamOpenedSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type CursorCodec, origin, type Position } from "../events/cursor.ts";
import { diagnosticOf } from "../events/diagnostics.ts";
import { positionAfter } from "../log/block.ts";
import type { EventLog } from "../log/contract.ts";
import { Channel, type ChannelMember } from "./channel.ts";
import { EncodingCache } from "./encodings.ts";
import type { WatchSink, WireForm } from "./form.ts";
import { Gathering } from "./gathering.ts";
import { LogOutages } from "./outage.ts";
import { Passes } from "./passes.ts";
import { type Selection, Selections } from "./selection.ts";
import type { WatchSpec } from "./spec.ts";
import { resolveStart } from "./start.ts";
import type { EndOfScope, Surroundings } from "./surroundings.ts";
import { Turns } from "./turns.ts";
import { type Watch, Watcher } from "./watch.ts";
import { Wheel } from "./wheel.ts";

export interface TailOptions {
  readonly log: EventLog;
  readonly cursors: CursorCodec;
  readonly clock?: Clock;
  /** How a scope ended; default: none ever does. */
  readonly endOf?: EndOfScope;
  /** Keeps the cause of a fault for the operator and returns what the reader hears. */
  readonly internal: (cause: unknown) => TailraceError;
}

type AnyWatcher = Watcher<never, never>;

/**
 * Delivers the log of a runtime to its watches. Committed blocks are gathered, matched and encoded once per selection and form,
 * and written to every watch whose sink takes them. The log is never asked to wait.
 */
export class Tail {
  readonly #log: EventLog;
  readonly #cursors: CursorCodec;
  readonly #clock: Clock;
  readonly #encodings = new EncodingCache();
  readonly #selections = new Selections();
  readonly #watches = new Set<AnyWatcher>();
  readonly #wheel: Wheel<AnyWatcher>;
  readonly #passes: Passes;
  readonly #catchUps: Turns;
  readonly #around: Surroundings;
  readonly #unsubscribe: () => void;
  readonly #outages: LogOutages;
  /** Channels of all selections. */
  #channels = 0;
  /** Watches that go along a channel. */
  #live = 0;
  readonly #gathering: Gathering;
  #afterFlush: (() => void)[] = [];
  #flushedHead: Position;
  #closing: TailraceError | undefined;
  readonly #closedGroups = new WeakMap<object, TailraceError>();

  constructor(options: TailOptions) {
    const { log, cursors } = options;
    this.#log = log;
    this.#cursors = cursors;
    this.#clock = options.clock ?? systemClock;
    const passes = new Passes(log, this.#encodings, this.#clock, () => this.#live > 0);
    this.#passes = passes;
    this.#catchUps = new Turns(this.#clock, limits.catchUpTurnMs, () => passes.reads);
    this.#wheel = new Wheel(
      this.#clock,
      heartbeatTickMs,
      (watch) => watch.beat(),
      () => passes.expire(),
    );
    this.#around = {
      log,
      cursors,
      clock: this.#clock,
      passes,
      catchUps: this.#catchUps,
      endOf: options.endOf ?? (() => undefined),
      flushedHead: () => this.#flushedHead,
      flush: () => this.flush(),
      afterFlush: (callback) => this.#afterFlush.push(callback),
      join: (selection, form, member) => this.#join(selection, form, member),
      leave: (channel, member) => this.#leave(channel, member),
      countLive: (change) => {
        this.#live += change;
      },
      left: (member) => this.#left(member as AnyWatcher),
      internal: options.internal,
      logError: () => this.#outages.error,
    };
    this.#outages = new LogOutages(log, this.#clock, this.#readers());
    this.#flushedHead = log.bounds({ kind: "runtime" }).head;
    this.#gathering = new Gathering(this.#clock, this.#watches, () => this.flush());
    this.#unsubscribe = log.subscribe((block, done) => this.#gathering.add(block, done));
  }

  /** Open watches. */
  get size(): number {
    return this.#watches.size;
  }

  /** Open watches that were not yet handed everything that is committed. */
  get behind(): number {
    const head = this.#log.bounds({ kind: "runtime" }).head.sequence;
    let behind = 0;
    for (const watch of this.#watches) if (watch.position.sequence < head) behind++;
    return behind;
  }

  /** Selections that open watches share. */
  get selections(): number {
    return this.#selections.size;
  }

  /**
   * Opens a watch. Its first frame is `opened`. When `signal` aborts, the reader has left. Watches of a `group` can be ended
   * together.
   * @throws TailraceError before anything was written: `worker_not_found`, `job_not_found`, `cursor_unknown`,
   *   `cursor_expired`, `limit_exceeded`, `server_closing`, `log_unavailable`.
   */
  async open<Entries, Frame>(
    spec: WatchSpec,
    form: WireForm<Entries, Frame>,
    sink: WatchSink<Frame>,
    signal: AbortSignal,
    group?: object,
  ): Promise<Watch> {
    this.#admit(group);
    const start = await resolveStart(this.#log, this.#cursors, spec);
    // Others may have been admitted meanwhile, or the server began to close.
    this.#admit(group);
    if (start.position.sequence > this.#flushedHead.sequence) this.flush();
    const selection = this.#selections.acquire(spec.scope, spec.kinds);
    const watch = new Watcher(this.#around, spec, selection, form, sink, start.position, group);
    this.#watches.add(watch as unknown as AnyWatcher);
    const leave = () => watch.end(undefined);
    watch.onEnd = () => signal.removeEventListener("abort", leave);
    signal.addEventListener("abort", leave);
    const bounds = this.#log.bounds(spec.scope);
    watch.control({
      case: "opened",
      value: create(StreamOpenedSchema, {
        runtimeId: this.#cursors.runtimeId,
        cursor: this.#cursors.encode(start.position),
        earliestCursor: this.#cursors.encode(bounds.floor),
        latestCursor: this.#cursors.encode(bounds.head),
        heartbeatInterval: durationFromMs(spec.heartbeatMs),
      }),
    });
    if (start.gap !== undefined) watch.control({ case: "diagnostic", value: start.gap });
    this.#wheel.add(watch as unknown as AnyWatcher, watch.beat());
    if (signal.aborted) leave();
    else watch.pump();
    this.#outages.joined(watch);
    return watch;
  }

  /** Ends every watch with `server_closing` and an ordinary cursor, and refuses new ones. */
  beginClosing(retryAfterMs: number): void {
    this.#closing ??= serverClosing(retryAfterMs);
    this.#endAll(this.#closing, () => true);
  }

  /** The same for the watches of one group, while the others go on. */
  closeGroup(group: object, retryAfterMs: number): void {
    const closing = serverClosing(retryAfterMs);
    this.#closedGroups.set(group, closing);
    this.#endAll(closing, (watch) => watch.group === group);
  }

  #endAll(error: TailraceError, isMeant: (watch: AnyWatcher) => boolean): void {
    this.flush();
    for (const watch of this.#watches) {
      if (isMeant(watch)) watch.end(diagnosticOf(error, this.#cursors.encode(watch.position)));
    }
  }

  /** Ends every watch and lets go of the log. */
  close(): void {
    this.beginClosing(0);
    this.#unsubscribe();
    this.#outages.close();
    this.#catchUps.clear();
    this.#gathering.stop();
  }

  /** The open watches, as those who read the log. */
  #readers() {
    const watches = this.#watches;
    return {
      get size() {
        return watches.size;
      },
      logUnavailable: (error: TailraceError) => {
        this.flush();
        for (const watch of watches) watch.logUnavailable(error);
      },
      logEnded: (error: TailraceError) => this.#endAll(error, () => true),
      logAvailable: () => {
        for (const watch of watches) watch.logAvailable();
      },
    };
  }

  #admit(group: object | undefined): void {
    const closing = this.#closing ?? (group === undefined ? undefined : this.#closedGroups.get(group));
    if (closing !== undefined) throw closing;
    if (this.#watches.size < limits.maxWatches) return;
    const { maxWatches } = limits;
    throw new TailraceError(
      "limit_exceeded",
      { limit: "max_watches", maximum: maxWatches, retryAfterMs: 1_000 },
      `This server has ${maxWatches} watches open already. Try again later.`,
    );
  }

  /** Hands everything that was committed to the watches. */
  flush(): void {
    const { blocks, done } = this.#gathering.take();
    const newest = blocks.at(-1);
    if (newest === undefined) return;
    const beganMs = this.#clock.monotonic();

    const before = this.#flushedHead;
    const { sequence, ordinal } = positionAfter(newest, newest.length - 1);
    const head = { ...origin, sequence, ordinal };
    const dirty = new Set<Selection>();
    for (const block of blocks) this.#selections.match(block, dirty);
    // All channels first, then all watches: a watch that looks for its place must find every channel complete.
    const share = Math.max(limits.minTailFrameBytes, Math.floor(limits.tailBytes / Math.max(1, this.#channels)));
    const capacity = Math.min(limits.tailFrameBytes, share);
    for (const selection of dirty) {
      const matches = selection.takePending();
      if (matches.length === 0) continue;
      const through = selection.position(head);
      for (const channel of selection.channels.values()) {
        channel.append(matches, this.#encodings, before, through, capacity);
      }
    }
    for (const block of blocks) this.#encodings.release(block);
    done();
    this.#flushedHead = head;
    for (const selection of dirty) {
      for (const channel of selection.channels.values()) {
        for (const member of channel.members) member.pump();
      }
    }
    const waiting = this.#afterFlush;
    this.#afterFlush = [];
    for (const callback of waiting) callback();
    this.#gathering.flushed(beganMs);
  }

  #join<Entries, Frame>(
    selection: Selection,
    form: WireForm<Entries, Frame>,
    member: ChannelMember,
  ): Channel<Entries, Frame> {
    let channel = selection.channels.get(form.name) as Channel<Entries, Frame> | undefined;
    if (channel === undefined) {
      if (selection.channels.size === 0) {
        // What waits for the next flush is offered then; the count begins before it.
        this.flush();
        selection.begin(this.#log.bounds(selection.scope).head);
        this.#selections.activate(selection);
      }
      channel = new Channel(selection, form, this.#flushedHead);
      this.#channels++;
      selection.channels.set(form.name, channel as unknown as Channel<unknown, unknown>);
    }
    channel.members.add(member);
    return channel;
  }

  #leave<Entries, Frame>(channel: Channel<Entries, Frame>, member: ChannelMember): void {
    channel.leave(member);
    if (channel.members.size > 0) return;
    const { selection } = channel;
    this.#channels--;
    selection.channels.delete(channel.form.name);
    if (selection.channels.size === 0) this.#selections.deactivate(selection);
  }

  #left(watch: AnyWatcher): void {
    this.#watches.delete(watch);
    // No wheel turns any more that would let go of them.
    if (this.#watches.size === 0) this.#passes.clear();
    this.#wheel.remove(watch);
    this.#selections.release(watch.selection);
  }
}

/** Milliseconds that a heartbeat may be late. */
const heartbeatTickMs = 250;

function serverClosing(retryAfterMs: number): TailraceError<"server_closing"> {
  return new TailraceError("server_closing", { retryAfterMs }, "The server is closing. Come back with the cursor.");
}
