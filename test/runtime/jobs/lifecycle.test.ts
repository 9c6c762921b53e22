import { expect, test, vi } from "vitest";
import { JobFailure } from "../../../src/runtime/jobs/operation.ts";
import { cancelJob, controlledHandler, eventsOfJob, getJob, jobRuntime, nameOf, said, startJob } from "./support.ts";

test("a job runs, narrates, and ends in one append with its state", async () => {
  const { runtime, faults } = jobRuntime();
  runtime.operation("greet", {}, async (params, job) => {
    await job.narrate("greeting", `Hello, ${params["name"]}.`);
    await job.progress({ done: 1, total: 2, unit: "steps" });
  });
  const submitted = await runtime.submit("greet", { name: "Ada" }, { workerId: "w", correlationId: "c" });
  const events = await eventsOfJob(runtime, submitted.jobId);
  expect(said(events)).toEqual([
    "queued",
    "running",
    "execute",
    "greeting",
    "progress",
    "execute_complete",
    "succeeded",
  ]);
  expect(new Set(events.map(({ jobId, workerId, correlationId }) => `${jobId} ${workerId} ${correlationId}`))).toEqual(
    new Set([`${submitted.jobId} w c`]),
  );
  expect(getJob(runtime, submitted.jobId)).toMatchObject({ operation: "greet", params: { name: "Ada" }, events: 7n });
  expect(nameOf(getJob(runtime, submitted.jobId).state)).toBe("succeeded");
  expect(faults).toEqual([]);
});
