import fc from "fast-check";
import { expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import * as ends from "../../../src/runtime/jobs/ends.ts";
import { type JobInput, type JobMachine, queued, step } from "../../../src/runtime/jobs/machine.ts";

const input: fc.Arbitrary<JobInput> = fc.constantFrom<JobInput[]>(
  { kind: "start" },
  { kind: "abort", end: ends.cancelled("") },
  { kind: "abort", end: ends.totalTimeout(1) },
  { kind: "abort", end: ends.runtimeClosed },
  { kind: "settle", end: ends.succeeded(undefined) },
  { kind: "settle", end: ends.failed(new Error("x")) },
  { kind: "let_go" },
  { kind: "overrule", end: ends.runtimeLost },
  { kind: "overrule", end: undefined },
);

test("whatever happens to a job, it ends once, as its first abort or else its handler says, unless another server does", () => {
  fc.assert(
    fc.property(fc.array(input, { maxLength: 12 }), (inputs) => {
      const machines: JobMachine[] = [queued];
      for (const next of inputs) machines.push(step(machines.at(-1) as JobMachine, next));
      const phases = machines.map(({ phase }) => phase);
      // Never back: queued, then perhaps running, then perhaps ended.
      expect([...phases].sort((a, b) => order.indexOf(a) - order.indexOf(b))).toEqual(phases);
      const endedAt = phases.findIndex((phase) => phase === "ended" || phase === "overruled");
      if (endedAt < 0) return;
      const ended = machines[endedAt];
      expect(machines.slice(endedAt).every((machine) => machine === ended)).toBe(true);
      const taken = inputs.slice(0, endedAt);
      if (ended?.phase === "overruled") {
        expect(taken.at(-1)).toEqual({ kind: "overrule", end: ended.end });
        return;
      }
      const abort = taken.find((given) => given.kind === "abort");
      const startedAt = taken.findIndex(({ kind }) => kind === "start");
      const settle = taken.slice(startedAt).find((given) => given.kind === "settle");
      expect(ended).toMatchObject({ end: (abort ?? settle)?.end });
      // A handler's outcome counts only for a job that was started.
      if (startedAt < 0) expect(ended).not.toMatchObject({ end: { state: JobState.SUCCEEDED } });
    }),
    { numRuns: 2_000 },
  );
});

const order = ["queued", "running", "ended", "overruled"];

test("what changes nothing gives the same state", () => {
  const running = step(queued, { kind: "start" });
  const ending = step(running, { kind: "abort", end: ends.cancelled("first") });
  expect(step(queued, { kind: "settle", end: ends.succeeded(undefined) })).toBe(queued);
  expect(step(queued, { kind: "let_go" })).toBe(queued);
  expect(step(running, { kind: "start" })).toBe(running);
  expect(step(running, { kind: "let_go" })).toBe(running);
  expect(step(ending, { kind: "abort", end: ends.idleTimeout(5) })).toBe(ending);
});
