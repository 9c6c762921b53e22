import { once } from "node:events";
import { Worker as Thread } from "node:worker_threads";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect, onTestFinished, test } from "vitest";
import { NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { until } from "../../support/until.ts";
import { batch } from "../support.ts";
import { cancelJob, controlledHandler, ended, eventsOfJob, jobRuntime, said, settled } from "./support.ts";

test("with the token of a job, events are those of that job only, while it runs", async () => {
  const { runtime } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const first = await runtime.submit("work", {}, { workerId: "w", correlationId: "c" });
  const second = await runtime.submit("work");
  await until(() => calls.length === 2, "the handlers");
  expect(calls[0]?.job.environment()).not.toHaveProperty("TAILRACE_SERVER");
  runtime.advertise("http://127.0.0.1:1");
  const environment = calls[0]?.job.environment() ?? {};
  const jobToken = environment["TAILRACE_JOB_TOKEN"] as string;
  expect(environment).toEqual({
    TAILRACE_SERVER: "http://127.0.0.1:1",
    TAILRACE_JOB_ID: first.jobId,
    TAILRACE_OPERATION: "work",
    TAILRACE_WORKER_ID: "w",
    TAILRACE_CORRELATION_ID: "c",
    TAILRACE_JOB_TOKEN: expect.stringMatching(/^tj_[\w-]{32}$/),
  });
  expect(calls[1]?.job.environment()["TAILRACE_JOB_TOKEN"]).not.toBe(jobToken);
  const payload = { case: "narration" as const, value: { action: "child", message: "hi" } };
  const publish = (ids: object, token = jobToken) =>
    runtime.publishEvents(batch({ events: [{ payload, ...ids }] }), { jobToken: token });
  await publish({});
  await publish({ jobId: first.jobId, workerId: "w", correlationId: "c" });
  const encoded = toBinary(NewEventSchema, create(NewEventSchema, { payload }));
  await runtime.publishEvents({ events: [encoded], producerId: "", firstProducerSequence: 0n }, { jobToken });
  const denied = { reason: "access_denied" };
  await expect(publish({ jobId: second.jobId })).rejects.toMatchObject(denied);
  await expect(publish({ workerId: "other" })).rejects.toMatchObject(denied);
  await expect(publish({ correlationId: "other" })).rejects.toMatchObject(denied);
  await expect(publish({}, "tj_guessed")).rejects.toMatchObject(denied);
  await expect(
    runtime.publishEvents(batch({ events: [{ payload: { case: "jobStateChanged", value: {} } }] }), { jobToken }),
  ).rejects.toMatchObject({ reason: "invalid_request" });
  calls[0]?.finish();
  const events = await eventsOfJob(runtime, first.jobId);
  expect(
    events.filter(({ payload: { value } }) => value && "action" in value && value.action === "child"),
  ).toHaveLength(3);
  expect(new Set(events.map((event) => `${event.jobId} ${event.workerId} ${event.correlationId}`))).toEqual(
    new Set([`${first.jobId} w c`]),
  );
  await settled();
  await expect(publish({})).rejects.toMatchObject(denied);
});

test("events from outside that name a job are its own, until it has ended", async () => {
  const { runtime } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const { jobId } = await runtime.submit("work");
  const publish = () =>
    runtime.publishEvents(batch({ events: [{ jobId, payload: { case: "progress", value: { done: 1 } } }] }));
  await publish();
  await until(() => calls.length === 1, "the handler");
  await publish();
  calls[0]?.finish();
  await ended(runtime, jobId);
  await expect(publish()).rejects.toMatchObject({ reason: "job_ended", details: { jobId, state: "succeeded" } });
  expect(said(await eventsOfJob(runtime, jobId)).filter((word) => word === "progress")).toHaveLength(2);
});

test("worker threads narrate as the job whose environment they got, and hear of its abort", async () => {
  const { runtime, faults } = jobRuntime();
  const messages: Record<string, unknown>[] = [];
  const file = new URL("./narrating-thread.ts", import.meta.url);
  const threads: Thread[] = [];
  onTestFinished(async () => {
    await Promise.all(threads.map((thread) => thread.terminate()));
  });
  runtime.operation("work", {}, async (_, job) => {
    for (const name of ["one", "two"]) {
      const env = { ...process.env, ...job.environment() };
      const thread = new Thread(file, { env, workerData: { name } });
      thread.on("message", (message) => messages.push(message));
      threads.push(thread);
    }
    await once(job.signal, "abort");
    await until(() => messages.length === 4, "the threads to hear of the abort");
  });
  const { jobId } = await runtime.submit("work", {}, { workerId: "w", correlationId: "c" });
  await until(() => messages.length === 2, "the threads");
  for (const message of messages) {
    expect(message).toEqual({
      before: { id: jobId, operation: "work", workerId: "w", correlationId: "c" },
      hasCursor: true,
      refused: "invalid_request",
    });
  }
  await cancelJob(runtime, jobId);
  const events = await eventsOfJob(runtime, jobId);
  expect(messages.slice(2)).toEqual([{ aborted: "AbortError" }, { aborted: "AbortError" }]);
  const actions = said(events);
  for (const word of ["in_thread", "progress", "log"])
    expect(actions.filter((action) => action === word)).toHaveLength(2);
  expect(actions.at(-1)).toBe("cancelled");
  await settled();
  for (const thread of threads) thread.postMessage("say something late");
  await until(() => messages.length === 6, "the answers to what is late");
  expect(messages.slice(4)).toEqual([{ late: "access_denied" }, { late: "access_denied" }]);
  // What the threads tried to forge was reported, once for the job.
  expect(faults).toHaveLength(1);
});
