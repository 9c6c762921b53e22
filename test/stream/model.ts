import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { EventKind, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { JobState } from "../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { TailraceError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { CursorCodec } from "../../src/events/cursor.ts";
import { streamEnded } from "../../src/events/diagnostics.ts";
import { pendingEvent } from "../../src/events/stored.ts";
import type { EventBlock } from "../../src/log/block.ts";
import type { KindFilter, Scope } from "../../src/log/contract.ts";
import { MemoryLog } from "../../src/log/memory/index.ts";
import type { ScopeEnd } from "../../src/stream/surroundings.ts";
import { Tail } from "../../src/stream/tail.ts";
import { FaultyLog } from "../conformance/faulty-log.ts";
import { CreditSink, numberForm } from "./number-form.ts";
import type { Payload } from "./world.ts";

const workers = ["a", "b", "c"] as const;
const kinds = [EventKind.OUTPUT, EventKind.NARRATION] as const;

const eventOf = (workerId: string, jobId: string, payload: Payload) =>
  pendingEvent(create(NewEventSchema, { workerId, jobId, payload }));

const payloads: readonly Payload[] = [
  { case: "output", value: {} },
  { case: "narration", value: {} },
];

const jobEnd: Payload = { case: "jobStateChanged", value: { state: JobState.SUCCEEDED } };

/** Jobs that go on at a time. An ended one that is forgotten makes room for one with another id. */
export const jobSlots = 2;

interface Committed {
  readonly sequence: number;
  readonly worker: string;
  /** Empty: none. */
  readonly job: string;
  readonly kind: number;
}

export type Step =
  | {
      readonly do: "append";
      readonly worker: number;
      /** Slot of the job; beyond the slots: none. */
      readonly job: number;
      readonly kind: number;
      readonly count: number;
    }
  | { readonly do: "endJob"; readonly job: number }
  | { readonly do: "forgetJob"; readonly job: number }
  | {
      readonly do: "open";
      readonly scope: number;
      readonly filtered: boolean;
      readonly wait: boolean;
      readonly start: number;
      readonly credit: number;
      readonly gap: boolean;
    }
  | { readonly do: "grant"; readonly watch: number; readonly frames: number }
  | { readonly do: "cancel"; readonly watch: number }
  | { readonly do: "flush" }
  | { readonly do: "turn" }
  | { readonly do: "outage"; readonly readsFail: boolean }
  | { readonly do: "time"; readonly ms: number };

/** Scopes by number; beyond them, the job of a slot. */
export const scopesOfWorkers: readonly (readonly string[])[] = [[], ["a"], ["b"], ["c"], ["a", "b"]];

const gone = new TailraceError("log_unavailable", { sinceMs: 1, retryAfterMs: 1_000 }, "No connection.");
const frameBytes = limits.tailFrameBytes * 0.6;

export class World {
  readonly clock = new ManualClock();
  readonly log: MemoryLog;
  readonly faulty: FaultyLog;
  readonly cursors: CursorCodec;
  readonly tail: Tail;
  // So large that a channel keeps one frame only: a reader that is stalled for two flushes falls behind.
  readonly form = numberForm("numbers", frameBytes);
  readonly history: Committed[] = [];
  /** Ids of the jobs in the slots, and whether their end is on its way. */
  readonly jobs = Array.from({ length: jobSlots }, (_, slot) => ({ id: `job ${slot}`, ended: false }));
  /** Sequences of the ends of jobs that are remembered. */
  readonly ends = new Map<string, number>();
  readonly forgotten = new Set<string>();
  readonly watches: WatchModel[] = [];

  constructor(workerEvents: number) {
    this.log = new MemoryLog({ retention: { workerEvents }, clock: this.clock, runtimeId: "model" });
    this.faulty = new FaultyLog(this.log);
    this.cursors = new CursorCodec("model", this.log.identity.generation);
    this.log.subscribe((block) => this.#record(block));
    this.tail = new Tail({
      log: this.faulty,
      cursors: this.cursors,
      clock: this.clock,
      endOf: (scope) => this.#endOf(scope),
      internal: (cause) => {
        throw cause;
      },
    });
  }

  #record(block: EventBlock): void {
    for (let i = 0; i < block.length; i++) {
      const sequence = block.sequences[i] as number;
      const job = block.jobSubjects.idOf(block.jobs[i] as number);
      const kind = block.kinds[i] as number;
      this.history.push({ sequence, worker: block.subjects.idOf(block.workers[i] as number), job, kind });
      if (kind === EventKind.JOB_STATE_CHANGED) this.ends.set(job, sequence);
    }
  }

  #endOf(scope: Scope): ScopeEnd | undefined {
    const sequence = scope.kind === "job" ? this.ends.get(scope.jobId) : undefined;
    if (sequence === undefined) return undefined;
    return { sequence, diagnostic: (cursor) => streamEnded({}, "The job has ended.", cursor) };
  }

  #endJob(slot: number): void {
    const job = this.jobs[slot];
    if (job === undefined || job.ended) return;
    job.ended = true;
    void this.log.append({ events: [eventOf("a", job.id, jobEnd)] });
  }

  /** Forgets the job of a slot, if it has ended, and has a new one take its place. */
  #forgetJob(slot: number): void {
    const job = this.jobs[slot];
    if (job === undefined || !job.ended) return;
    this.jobs[slot] = { id: `${job.id}'`, ended: false };
    this.forgotten.add(job.id);
    void this.log.append({ events: [], forgetJobs: [job.id] }).then(() => this.ends.delete(job.id));
  }

  /** The log says that it is away, or that it is back. What was published by others may still come. */
  #outage(readsFail: boolean): void {
    const back = !this.faulty.health().available;
    this.faulty.readFault = back || !readsFail ? undefined : gone;
    this.faulty.say(back ? undefined : gone);
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const next of steps) await this.#step(next);
    if (!this.faulty.health().available) this.#outage(false);
    await this.#comeToRest();
    for (const watch of this.watches) watch.check(this);
    for (const watch of this.watches) watch.reader.abort();
    expect(this.tail.size).toBe(0);
    expect(this.tail.selections).toBe(0);
    this.tail.close();
    await this.log.close();
    expect(this.clock.pending).toBe(0);
  }

  async #step(next: Step): Promise<void> {
    const chosen = "watch" in next ? this.watches[next.watch % Math.max(1, this.watches.length)] : undefined;
    switch (next.do) {
      case "append": {
        const job = this.jobs[next.job];
        const jobId = job === undefined || job.ended ? "" : job.id;
        const event = eventOf(workers[next.worker] as string, jobId, payloads[next.kind] as Payload);
        void this.log.append({ events: new Array(next.count).fill(event) });
        return;
      }
      case "endJob":
        this.#endJob(next.job);
        return;
      case "forgetJob":
        this.#forgetJob(next.job);
        return;
      case "open":
        this.watches.push(new WatchModel(this, next));
        return;
      case "grant":
        chosen?.sink.grant(next.frames);
        return;
      case "cancel":
        chosen?.reader.abort();
        return;
      case "flush":
        this.tail.flush();
        return;
      case "turn":
        await turn();
        return;
      case "outage":
        this.#outage(next.readsFail);
        return;
      case "time":
        this.clock.advance(next.ms);
    }
  }

  /** Gives everyone credit until nothing moves any more. */
  async #comeToRest(): Promise<void> {
    let before = -1;
    for (let received = 0, quiet = 0; quiet < 4; quiet = received === before ? quiet + 1 : 0) {
      before = received;
      for (const watch of this.watches) watch.sink.grant(1_000);
      await turn();
      this.tail.flush();
      received = this.watches.reduce((sum, { sink }) => sum + sink.sequences.length + sink.controls.length, 0);
    }
  }
}

class WatchModel {
  readonly reader = new AbortController();
  readonly sink: CreditSink;
  readonly scope: Scope;
  readonly kinds: KindFilter;
  readonly #cursors: CursorCodec;
  readonly #gapAllowed: boolean;
  /** Whether it may be refused because its job does not exist. */
  readonly #refusable: boolean;
  #refused: unknown;

  constructor(world: World, step: Extract<Step, { do: "open" }>) {
    this.sink = new CreditSink(step.credit);
    const workerIds = scopesOfWorkers[step.scope];
    const job = world.jobs[step.scope - scopesOfWorkers.length];
    if (workerIds === undefined) this.scope = { kind: "job", jobId: job?.id ?? "" };
    else this.scope = workerIds.length === 0 ? { kind: "runtime" } : { kind: "workers", workerIds };
    this.#refusable = this.scope.kind === "job" && !step.wait && world.log.job(this.scope.jobId) === undefined;
    this.kinds = step.filtered ? new Set([kinds[0]]) : undefined;
    this.#cursors = world.cursors;
    this.#gapAllowed = step.gap;
    const { log } = world;
    const start = () => {
      if (step.start === 0) return { kind: "earliest" } as const;
      if (step.start === 1) return { kind: "latest" } as const;
      if (step.start === 2) return { kind: "last", count: 7, kinds: this.kinds } as const;
      const { floor, head } = log.bounds(this.scope);
      const position = step.start === 3 ? floor : head;
      const cursor = world.cursors.encode(position);
      return { kind: "cursor", cursor, position, epoch: 0, closing: false, otherGeneration: false } as const;
    };
    const spec = {
      scope: this.scope,
      kinds: this.kinds,
      start: start(),
      continueWithGap: step.gap,
      waitIfMissing: this.scope.kind !== "job" || step.wait,
      heartbeatMs: 1_000 + step.credit * 1_000,
    };
    world.tail.open(spec, world.form, this.sink, this.reader.signal).then(
      (watch) => {
        this.sink.watch = watch;
        if (!this.sink.blocked) watch.resume();
      },
      (error) => {
        this.#refused = error;
      },
    );
  }

  /** What the reader saw is what was committed from where it began, but for what it was told that it lost. */
  check({ history, forgotten, ends }: World): void {
    if (this.#refusable) {
      expect(this.#refused).toMatchObject({ reason: "job_not_found" });
      return;
    }
    if (this.#refused === gone) return;
    if (this.#refused !== undefined) throw this.#refused;
    const { sink, scope } = this;
    const opened = sink.controls[0];
    if (opened === undefined && this.reader.signal.aborted) return;
    if (opened?.case !== "opened") throw new Error("The first frame is not `opened`.");
    const wanted = (from: number, to: number) =>
      history
        .filter(({ sequence, worker, job, kind }) => {
          const ofScope =
            scope.kind === "runtime" || (scope.kind === "job" ? scope.jobId === job : scope.workerIds.includes(worker));
          return sequence > from && sequence <= to && ofScope && (this.kinds?.has(kind) ?? true);
        })
        .map(({ sequence }) => sequence);
    const sequenceOf = (cursor: string) => this.#cursors.decode(cursor).position.sequence;

    const expected: number[] = [];
    let from = sequenceOf(opened.value.cursor);
    for (const frame of sink.controls) {
      if (frame.case !== "diagnostic") continue;
      const { reason } = frame.value;
      if (reason.case !== "gap" && reason.case !== "cursorExpired") continue;
      expect(reason.case === "gap").toBe(this.#gapAllowed);
      const lostFrom = reason.case === "gap" ? reason.value.fromCursor : reason.value.requestedCursor;
      expected.push(...wanted(from, sequenceOf(lostFrom)));
      from = sequenceOf(reason.value.earliestCursor);
      const lost = wanted(sequenceOf(lostFrom), from).length;
      if (reason.value.lostExact) expect(Number(reason.value.lostEvents)).toBe(lost);
      else expect(Number(reason.value.lostEvents)).toBeGreaterThanOrEqual(lost);
    }
    const head = history.at(-1)?.sequence ?? 0;
    const reason = sink.terminal?.reason.case;
    const hadAll = reason === "streamEnded";
    const wasForgotten = scope.kind === "job" && forgotten.has(scope.jobId);
    if (hadAll || reason === "jobNotFound" || reason === "logUnavailable" || sink.terminal === undefined)
      expected.push(...wanted(from, head));
    if (hadAll) expect(this.#cursors.decode(sink.terminal?.cursor ?? "").closing).toBe(true);
    if (reason === "jobNotFound") expect(wasForgotten).toBe(true);
    if (this.reader.signal.aborted) {
      expect(sink.sequences).toEqual(expected.slice(0, sink.sequences.length));
      expect(sink.ends).toBe(1);
    } else if (reason === "logUnavailable") {
      expect(sink.sequences).toEqual(expected.slice(0, sink.sequences.length));
      // Where it is to come back is behind the last event that it had, and before the next one that it wants.
      const at = sequenceOf(sink.terminal?.cursor ?? "");
      expect(expected.filter((sequence) => sequence > from && sequence <= at)).toEqual(
        sink.sequences.filter((sequence) => sequence > from),
      );
    } else if (wasForgotten && !hadAll) {
      // It may have come too late for some of it, and is told so, unless it never saw the job and waits for it.
      expect(sink.sequences).toEqual(expected.slice(0, sink.sequences.length));
      if (sink.terminal === undefined) expect(sink.sequences).toEqual([]);
    } else {
      if (scope.kind === "job" && ends.has(scope.jobId)) expect(sink.ends).toBe(1);
      expect(sink.sequences).toEqual(expected);
      expect(sink.ends).toBe(sink.terminal === undefined ? 0 : 1);
      if (sink.terminal === undefined) expect(sink.notices).toContain("caughtUp");
    }
  }
}
