import { expect, test } from "vitest";
import { freshSeed } from "../support/random.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { faultKinds } from "./soak/faults.ts";
import { soak } from "./soak/run.ts";

test("some minutes of the soak: nothing is lost, nothing comes twice, and every job has one end", {
  timeout: 900_000,
}, async () => {
  const seed = freshSeed();
  const result = await soak({
    directory: scratchDirectory(),
    seed,
    totalMs: Number.POSITIVE_INFINITY,
    everyMs: 1_000,
    count: faultKinds.length,
    pace: 0.15,
  });
  expect(result.problems, `seed ${seed}`).toEqual([]);
  expect(result.faults).toHaveLength(faultKinds.length);
  expect(result.jobs.submitted).toBeGreaterThan(5);
  expect(result.visits.events).toBeGreaterThan(0);
  expect(result.visits.transcripts).toBeGreaterThan(0);
  expect(result.memory.some(({ held }) => held !== undefined && held.heap.most > 1)).toBe(true);
});
