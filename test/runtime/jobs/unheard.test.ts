import { expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { framesUntil } from "../support.ts";
import { ServersInMemory } from "./servers.ts";
import { cancelJob, getJob, startJob } from "./support.ts";

test("a job is found at once by a server that has not heard of it yet", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  /** A job that only the server knows that made it. */
  const make = async (): Promise<string> => {
    const jobId = await servers.submitUnheard(a, { deferred: true, workerId: "w" });
    expect(() => getJob(b.runtime, jobId)).toThrow(/There is no job/);
    return jobId;
  };
  const shown = await make();
  const found = await servers.lookedUp(b.runtime.lookUp(() => getJob(b.runtime, shown)));
  expect(found).toMatchObject({ jobId: shown });
  const watched = await make();
  const [opened] = await servers.lookedUp(framesUntil(b.runtime.watch({ jobId: watched }), () => true));
  expect(opened?.case).toBe("opened");
  const [started, cancelled] = [await make(), await make()];
  const asked = Promise.all([startJob(b.runtime, started), cancelJob(b.runtime, cancelled)]);
  await servers.turn();
  await asked;
  expect([started, cancelled].map((id) => getJob(a.runtime, id).state)).toEqual([JobState.RUNNING, JobState.CANCELLED]);
  await expect(b.runtime.lookUp(() => getJob(b.runtime, "none"))).rejects.toMatchObject({ reason: "job_not_found" });
});

test("an idempotency key makes one job, whichever servers are asked at once", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const asked = Promise.all(
    [a, b, a, b].map(({ runtime }) => runtime.submit("work", {}, { idempotencyKey: "k", workerId: "w" })),
  );
  await servers.turn();
  const answers = await asked;
  expect(new Set(answers.map(({ jobId }) => jobId)).size).toBe(1);
  expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
  await expect(b.runtime.submit("work", { other: 1 }, { idempotencyKey: "k" })).rejects.toMatchObject({
    reason: "invalid_request",
  });
  // The places that the losers had reserved are free again.
  expect([a, b].map(({ runtime }) => runtime.jobsHeld.jobs)).toEqual([1, 1]);
  expect(a.calls.length + b.calls.length).toBe(1);
});
