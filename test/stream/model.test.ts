import fc from "fast-check";
import { test } from "vitest";
import { limits } from "../../src/base/limits.ts";
import { jobSlots, type Step, scopesOfWorkers, World } from "./model.ts";

// Larger than what a watch may lag behind and still wait at its channel, so that readers fall out and come back.
const burst = limits.catchUpPassEvents + 100;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("append" as const),
      worker: fc.nat(2),
      job: fc.nat(jobSlots + 1),
      kind: fc.nat(1),
      count: fc.oneof(
        { weight: 8, arbitrary: fc.integer({ min: 1, max: 30 }) },
        { weight: 1, arbitrary: fc.constant(burst) },
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("open" as const),
      scope: fc.nat(scopesOfWorkers.length + jobSlots - 1),
      filtered: fc.boolean(),
      wait: fc.boolean(),
      start: fc.nat(5),
      credit: fc.integer({ min: 1, max: 12 }),
      gap: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("grant" as const),
      watch: fc.nat(20),
      frames: fc.integer({ min: 1, max: 8 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("endJob" as const), job: fc.nat(jobSlots - 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("forgetJob" as const), job: fc.nat(jobSlots - 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), watch: fc.nat(20) }) },
  { weight: 5, arbitrary: fc.constant({ do: "flush" as const }) },
  { weight: 5, arbitrary: fc.constant({ do: "turn" as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("outage" as const), readsFail: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("time" as const), ms: fc.integer({ min: 1, max: 20_000 }) }) },
);

test("replay, hand-over and live give every event once, over random interleavings", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 60 }),
      fc.constantFrom(20, 200, 6_000, 100_000),
      async (steps, workerEvents) => new World(workerEvents).run(steps),
    ),
    { numRuns: 2_000, endOnFailure: false },
  );
}, 900_000);
