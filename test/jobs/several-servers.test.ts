import { expect, onTestFinished, test } from "vitest";
import { openJetStreamLog } from "../../src/log/jetstream/index.ts";
import { Runtime } from "../../src/runtime/runtime.ts";
import { freshNamespace } from "../log/jetstream/support.ts";
import { ServersInMemory } from "../runtime/jobs/servers.ts";
import { natsForFile } from "../support/nats.ts";
import { serve } from "../support/serving.ts";
import { eventually } from "../support/until.ts";
import { outline, readSimple, registerOperations } from "./world.ts";

const nats = natsForFile();

/** A server on a log that it shares with others. */
async function serverOn(namespace: string) {
  const log = await openJetStreamLog({ servers: [nats().url], namespace });
  const faults: unknown[] = [];
  const runtime = new Runtime({ log, onError: (error) => faults.push(error) });
  onTestFinished(() => runtime.close());
  const operations = registerOperations(runtime);
  const { server } = await serve({ runtime });
  runtime.advertise(server.url);
  return { runtime, operations, url: server.url, faults };
}

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what is in it is what the tests look at.
  readonly body: any;
}

async function call(url: string, path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const answer = await fetch(`${url}/tailrace.v1.${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: (await answer.json()) as Answer["body"] };
}

test("what one server answered of a job, the next one finds at once, although it has not heard of it", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const { url } = (await serve({ runtime: b.runtime })).server;
  const lookUps: ((jobId: string, workerId: string) => Promise<{ readonly status: number }>)[] = [
    (jobId) => call(url, "JobService/GetJob", { jobId }),
    (jobId) => fetch(`${url}/v1/jobs/${jobId}`),
    (jobId) => fetch(`${url}/v1/jobs/${jobId}/events`),
    (jobId) => call(url, "EventStreamService/ListEvents", { jobId }),
    (_, workerId) => call(url, "WorkerService/GetWorker", { workerId }),
    (_, workerId) => fetch(`${url}/v1/workers/${workerId}`),
    (_, workerId) => fetch(`${url}/v1/workers/${workerId}/transcript`),
  ];
  for (const [i, lookUp] of lookUps.entries()) {
    const jobId = await servers.submitUnheard(a, { deferred: true, workerId: `w${i}` });
    const { status } = await servers.lookedUp(lookUp(jobId, `w${i}`));
    expect([i, status]).toEqual([i, 200]);
  }
  expect((await fetch(`${url}/v1/jobs/none`)).status).toBe(404);
});

test("any server cancels a job", async () => {
  const namespace = freshNamespace();
  const [a, b] = [await serverOn(namespace), await serverOn(namespace)];
  for (let i = 0; i < 20; i++) {
    const { jobId } = (await call(a.url, "JobService/SubmitJob", { operation: "hold" })).body;
    expect((await fetch(`${b.url}/v1/jobs/${jobId}`, { method: "DELETE" })).status).toBe(200);
  }
  await eventually(async () => {
    const { body } = await call(b.url, "JobService/ListJobs", {});
    expect(body.jobs.map(({ state }: { state: string }) => state)).toEqual(Array(20).fill("JOB_STATE_CANCELLED"));
  });
  expect([a.faults, b.faults]).toEqual([[], []]);
});

test("the simple stream of a deferred job starts it at the server that has it", async () => {
  const namespace = freshNamespace();
  const [a, b] = [await serverOn(namespace), await serverOn(namespace)];
  const { jobId } = (
    await call(a.url, "JobService/SubmitJob", {
      operation: "tell",
      params: { texts: ["one", "two"] },
      start: "JOB_START_DEFERRED",
    })
  ).body;
  const { marker, events } = await readSimple(`${b.url}/v1/jobs/${jobId}/stream`);
  expect(marker).toBe("[DONE]");
  expect(outline(events)).toEqual(["QUEUED", "RUNNING", "execute", "tell", "tell", "execute_complete", "SUCCEEDED"]);
});

test("the token of a job is good at the server that runs it, whose address its children have", async () => {
  const namespace = freshNamespace();
  const [a, b] = [await serverOn(namespace), await serverOn(namespace)];
  const { jobId } = (await call(a.url, "JobService/SubmitJob", { operation: "hold" })).body;
  const { TAILRACE_SERVER, TAILRACE_JOB_TOKEN } = (await a.operations.running(jobId)).environment();
  expect(TAILRACE_SERVER).toBe(a.url);
  const request = { events: [{ progress: { done: 1 } }] };
  const headers = { authorization: `Bearer ${TAILRACE_JOB_TOKEN}` };
  expect((await call(a.url, "PublisherService/PublishEvents", request, headers)).status).toBe(200);
  expect(await call(b.url, "PublisherService/PublishEvents", request, headers)).toMatchObject({
    status: 403,
    body: { code: "permission_denied" },
  });
  // Without one, any server takes what is said of the job.
  const named = { events: [{ jobId, progress: { done: 2 } }] };
  expect((await call(b.url, "PublisherService/PublishEvents", named)).status).toBe(200);
  a.operations.release(jobId);
});
