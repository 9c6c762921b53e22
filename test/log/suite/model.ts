import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { defaultRetention, type RetentionLimits } from "../../../src/base/limits.ts";
import type { EventLog, Scope } from "../../../src/log/contract.ts";
import { event, type Implementation, readAll, runtimeScope, type Seen, seenOf, workers } from "../harness.ts";
import { LogModel } from "../model.ts";

const names = ["a", "b", "c", ""];

const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      // Batches that are appended at once share a commit.
      batches: fc.array(
        fc.array(fc.record({ worker: fc.nat(3), kind: fc.nat(2), size: fc.nat(40) }), { maxLength: 12 }),
        { minLength: 1, maxLength: 3 },
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(4000) }) },
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
    test("random appends, waits and restarts hold what they should", async () => {
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
          for (const one of steps) {
            if (one.kind === "wait") {
              clock.advance(one.ms);
            } else if (one.kind === "append") {
              const batches = one.batches.map((batch) =>
                batch.map((e) => ({ ...e, text: `${appended++}`.padEnd(e.size, ".") })),
              );
              const pending = batches.map((batch) =>
                batch.map((e) => event(names[e.worker] as string, e.text, 40 + e.kind)),
              );
              const timeMs = clock.now();
              const results = await Promise.all(pending.map((events) => log.append({ events })));
              for (const [i, result] of results.entries()) {
                const events = pending[i] ?? [];
                if (events.length === 0) continue;
                expect(result.last.sequence).toBe(result.firstSequence + events.length - 1);
                model.append(
                  events,
                  result.firstSequence,
                  timeMs,
                  (batches[i] ?? []).map((e) => e.text),
                );
              }
            } else if (tested.durable) {
              await log.close();
              log = await tested.open({ clock, retention });
              listen(log);
            }
            await log.append({ events: [] });
            model.trim(clock.now());
            await checkHeld(log, model);
          }
          // Every event was told exactly once, in order, whatever was removed meanwhile.
          expect(told.map((one) => one.ordinal)).toEqual(Array.from({ length: appended }, (_, i) => i + 1));
          await log.close();
        }),
        { numRuns: 40 },
      );
    });
  });
}

/** Everything that can be asked of the log agrees with the model. */
async function checkHeld(log: EventLog, model: LogModel): Promise<void> {
  followWholeLogLimit(log, model);
  const scopes: [Scope, string[] | undefined][] = [
    [runtimeScope, undefined],
    [workers("a"), ["a"]],
    [workers("b"), ["b"]],
    [workers("a", "c"), ["a", "c"]],
  ];
  for (const [scope, ids] of scopes) {
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
    const expected = model.of(ids).filter((one) => one.sequence > expectedFloor);
    expect(await readAll(log, { scope, maxEvents: 5 })).toEqual(expected);
    expect(await readAll(log, { scope, kinds: new Set([41]) })).toEqual(expected.filter((one) => one.kind === 41));
    if (expectedFloor > 0) {
      const below = {
        scope,
        kinds: undefined,
        after: expectedFloor - 1,
        until: head.sequence,
        maxEvents: 1,
        maxBytes: 1,
      };
      expect(await log.read(below)).toEqual({ kind: "expired", floor });
    }
  }
}

/**
 * Several removals can be right where workers hold equally much, so the model follows the log's choice, once that was
 * found fair: whoever gave held as much as anyone, in events or in bytes, but for the one event it gave.
 */
function followWholeLogLimit(log: EventLog, model: LogModel): void {
  const named = names.filter((name) => name !== "");
  const records = named.map((name) => ({
    name,
    events: log.worker(name)?.retainedEvents ?? 0,
    bytes: log.worker(name)?.retainedBytes ?? 0,
    held: model.of([name]).length,
  }));
  const mostEvents = Math.max(...records.map((one) => one.events));
  const mostBytes = Math.max(...records.map((one) => one.bytes));
  for (const one of records) {
    expect(one.events).toBeLessThanOrEqual(one.held);
    if (one.events === one.held) continue;
    expect(model.hasWholeLogLimit).toBe(true);
    expect(one.events >= mostEvents - 1 || one.bytes >= mostBytes - largestEventBytes).toBe(true);
    model.keepNewest(one.name, one.events);
  }
  const floor = log.bounds(runtimeScope).floor.sequence;
  const ownRetained = model.of([""]).filter((one) => one.sequence > floor).length;
  // Events of no worker are reached in the scope of the runtime alone, so what is below its floor can't be told apart.
  if (floor > model.floorSequence) model.keepNewest("", ownRetained);
  expect(model.isWithinLimits(model.of(undefined).filter((one) => one.sequence > floor))).toBe(true);
}

/** Stored bytes that no event of this test exceeds. */
const largestEventBytes = 80;
