import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { defaultRetention, type RetentionLimits } from "../../../src/base/limits.ts";
import { type EventLog, holdKey, type Scope } from "../../../src/log/contract.ts";
import { event, type Implementation, job, readAll, runtimeScope, type Seen, seenOf, workers } from "../harness.ts";
import { bytesOf, LogModel, seenAs } from "../model.ts";

const names = ["a", "b", "c", ""];
/** The last one is of no job, as most events are. */
const jobNames = ["j", "k", "l", "", ""];

const batch = fc.record({
  events: fc.array(fc.record({ worker: fc.nat(3), job: fc.nat(4), kind: fc.nat(2), size: fc.nat(40) }), {
    maxLength: 12,
  }),
  forget: fc.option(fc.nat(2), { nil: undefined, freq: 6 }),
});
const step = fc.oneof(
  // Batches that are appended at once share a commit.
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      batches: fc.array(batch, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(4000) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("hold" as const),
      back: fc.option(fc.nat(30), { nil: undefined }),
      outlives: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reopen" as const) }) },
);

const limit = (max: number) => fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 0, max }));
const retentions: fc.Arbitrary<RetentionLimits> = fc.record({
  workerEvents: limit(15),
  workerBytes: limit(900),
  workerAgeMs: fc.oneof(fc.constant(defaultRetention.ageMs), fc.integer({ min: 1000, max: 9000 })),
  events: limit(40),
  bytes: limit(2500),
  ageMs: fc.constant(defaultRetention.ageMs),
});

export function modelSuite({ create }: Implementation): void {
  describe("against a model", () => {
    test("random appends, jobs, holds, waits and restarts hold what they should", async () => {
      await fc.assert(
        fc.asyncProperty(retentions, fc.array(step, { minLength: 1, maxLength: 25 }), async (retention, steps) => {
          const tested = create();
          const clock = new ManualClock();
          const model = new LogModel(retention);
          const told: Seen[] = [];
          const listen = (log: EventLog) => log.subscribe((block) => told.push(...seenOf(block)));
          let log = await tested.open({ clock, retention });
          listen(log);
          let appended = 0;
          let lastingHold = Number.POSITIVE_INFINITY;
          for (const one of steps) {
            let forgets = false;
            if (one.kind === "wait") {
              clock.advance(one.ms);
            } else if (one.kind === "hold") {
              const head = log.bounds(runtimeScope).head.sequence;
              model.hold = one.back === undefined ? Number.POSITIVE_INFINITY : head - one.back;
              log.holdAfter(model.hold);
              if (one.outlives) {
                lastingHold = model.hold;
                await log.append({ events: [], state: new Map([[holdKey, holdState(lastingHold)]]) });
              }
            } else if (one.kind === "append") {
              const batches = one.batches.map(({ events, forget }) => ({
                texts: events.map((e) => `${appended++}`.padEnd(e.size, ".")),
                events,
                forgetJobs: forget === undefined ? [] : [jobNames[forget] as string],
              }));
              const pending = batches.map(({ events, texts, forgetJobs }) => ({
                events: events.map((e, i) =>
                  event(names[e.worker] as string, texts[i] as string, 40 + e.kind, jobNames[e.job]),
                ),
                forgetJobs,
              }));
              const timeMs = clock.now();
              const results = await Promise.all(pending.map((batch) => log.append(batch)));
              for (const [i, result] of results.entries()) {
                const { events = [], forgetJobs = [] } = pending[i] ?? {};
                if (events.length > 0) {
                  expect(result.last.sequence).toBe(result.firstSequence + events.length - 1);
                  model.append(events, result.firstSequence, timeMs, batches[i]?.texts ?? []);
                  const last = model.events.at(-1);
                  expect([result.last.workerOrdinal, result.last.jobOrdinal]).toEqual([
                    last?.workerOrdinal,
                    last?.jobOrdinal,
                  ]);
                }
                for (const jobId of forgetJobs) {
                  forgets = true;
                  model.forgetJob(jobId);
                }
              }
            } else if (tested.durable) {
              await log.close();
              model.hold = lastingHold;
              log = await tested.open({ clock, retention });
              listen(log);
            }
            await log.append({ events: [] });
            model.trim(clock.now());
            followWholeLogLimit(log, model, forgets);
            await checkHeld(log, model);
          }
          // Every event was told exactly once, in order, whatever was removed meanwhile.
          expect(told.map((one) => one.ordinal)).toEqual(Array.from({ length: appended }, (_, i) => i + 1));
          await log.close();
        }),
        { numRuns: 60 },
      );
    });
  });
}

function holdState(sequence: number): Uint8Array {
  return new TextEncoder().encode(String(sequence));
}

/** Everything that can be asked of the log agrees with the model. */
async function checkHeld(log: EventLog, model: LogModel): Promise<void> {
  for (const ids of [undefined, ["a"], ["b"], ["a", "c"]]) {
    const scope = ids === undefined ? runtimeScope : workers(...ids);
    const { floor, head } = log.bounds(scope);
    const floorOf = (id: string) => model.workers.get(id)?.floorSequence ?? 0;
    const expectedFloor = ids === undefined ? model.floorSequence : Math.max(...ids.map(floorOf));
    expect(floor.sequence).toBe(expectedFloor);
    expect(head.ordinal).toBe(model.headOrdinal);
    if (ids?.length === 1) {
      const worker = model.workers.get(ids[0] as string);
      expect(floor.workerOrdinal).toBe(worker?.floorOrdinal ?? 0);
      expect(head.workerOrdinal).toBe(worker?.lastOrdinal ?? 0);
    }
    await checkScope(
      log,
      scope,
      seenAs(model.of(ids)).filter((one) => one.sequence > expectedFloor),
    );
  }
  expect([...log.jobs()].map((one) => one.jobId).sort()).toEqual([...model.jobs.keys()].sort());
  for (const jobId of jobNames) {
    if (jobId === "") continue;
    const known = model.jobs.get(jobId);
    const events = model.ofJob(jobId);
    const { floor, head } = log.bounds(job(jobId));
    expect([floor.sequence, floor.jobOrdinal]).toEqual([known?.floorSequence ?? 0, known?.floorOrdinal ?? 0]);
    expect([head.ordinal, head.jobOrdinal]).toEqual([model.headOrdinal, known?.lastOrdinal ?? 0]);
    expect(log.job(jobId)).toEqual(
      known &&
        expect.objectContaining({
          lastOrdinal: known.lastOrdinal,
          retainedEvents: events.length,
          retainedBytes: bytesOf(events),
        }),
    );
    await checkScope(log, job(jobId), seenAs(events));
  }
}

async function checkScope(log: EventLog, scope: Scope, expected: readonly Seen[]): Promise<void> {
  const { floor, head } = log.bounds(scope);
  expect(await readAll(log, { scope, maxEvents: 5 })).toEqual(expected);
  expect(await readAll(log, { scope, kinds: new Set([41]) })).toEqual(expected.filter((one) => one.kind === 41));
  if (floor.sequence === 0) return;
  const below = { scope, kinds: undefined, after: floor.sequence - 1, until: head.sequence, maxEvents: 1, maxBytes: 1 };
  expect(await log.read(below)).toEqual({ kind: "expired", floor });
}

/**
 * Several removals can be right where workers and jobs hold equally much, so the model follows the log's choice, once that
 * was found fair: whoever gave held as much as anyone, in events or in bytes, but for the one event it gave.
 */
function followWholeLogLimit(log: EventLog, model: LogModel, forgets: boolean): void {
  const givers: { scope: Parameters<LogModel["heldBy"]>[0]; isJob: boolean }[] = [];
  const follow = (scope: (typeof givers)[number]["scope"] | undefined, floorSequence: number, isJob: boolean) => {
    if (scope === undefined || floorSequence <= scope.floorSequence) return;
    givers.push({ scope, isJob });
    model.raiseTo(scope, floorSequence);
  };
  // First the jobs: what they give raises the floors of their workers.
  for (const [jobId, scope] of model.jobs) follow(scope, log.bounds(job(jobId)).floor.sequence, true);
  const jobsGave = givers.length > 0;
  const named = names.filter((name) => name !== "");
  for (const name of named) follow(model.workers.get(name), log.bounds(workers(name)).floor.sequence, false);
  const floor = log.bounds(runtimeScope).floor.sequence;
  // Events of no worker are reached in the scope of the runtime alone, so what is below its floor can't be told apart.
  const own = model.workers.get("");
  if (own !== undefined && floor > model.floorSequence) model.raiseTo(own, floor);

  if (givers.length > 0) expect(model.hasWholeLogLimit).toBe(true);
  const holders = [...model.jobs.values(), ...named.flatMap((name) => model.workers.get(name) ?? [])];
  const held = holders.map((holder) => model.heldBy(holder));
  const mostEvents = Math.max(0, ...held.map((events) => events.length));
  const mostBytes = Math.max(0, ...held.map(bytesOf));
  for (const { scope, isJob } of givers) {
    // A worker may have lost more than it gave: with a job that gave too, with one that was forgotten, or, where what
    // others hold is held, because nobody else had anything to give.
    if (forgets || (jobsGave && !isJob) || model.hold !== Number.POSITIVE_INFINITY) continue;
    const events = model.heldBy(scope);
    expect(events.length >= mostEvents - 1 || bytesOf(events) >= mostBytes - largestEventBytes).toBe(true);
  }
  expect(model.isWithinLimits(model.of(undefined).filter((one) => one.sequence > floor))).toBe(true);
}

/** Stored bytes that no event of this test exceeds. */
const largestEventBytes = 90;
