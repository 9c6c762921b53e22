import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { EventKind } from "../../gen/tailrace/v1/event_pb.ts";
import { IfMissing, ListEventsRequestSchema, StartAt } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { OutputStream, WorkerOutcome, WorkerState } from "../../gen/tailrace/v1/payloads_pb.ts";
import { GetWorkerRequestSchema, ListWorkersRequestSchema } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { limits } from "../../src/base/limits.ts";
import type { EventLog } from "../../src/log/contract.ts";
import { MemoryLog } from "../../src/log/memory/index.ts";
import { Runtime } from "../../src/runtime/runtime.ts";
import { batch, customEvents, eventsIn, framesUntil, isDiagnostic, memoryRuntime } from "./support.ts";

test("a worker is created by its first event, in the same batch, and counts without holes", async () => {
  const { runtime } = memoryRuntime();
  const receipt = await runtime.publish([...customEvents("a", 2), ...customEvents("b", 1)]);
  expect(receipt.lastSequence - receipt.firstSequence).toBe(4);
  const events = eventsIn(await framesUntil(runtime.watch(), isDiagnostic("caughtUp")));
  expect(events.map((event) => [event.workerId, event.payload.case, event.workerSequence])).toEqual([
    ["", "runtimeStarted", 0n],
    ["a", "workerCreated", 1n],
    ["a", "custom", 2n],
    ["a", "custom", 3n],
    ["b", "workerCreated", 1n],
    ["b", "custom", 2n],
  ]);
  expect(events.at(-1)?.cursor).toBe(receipt.cursor);
});

test("concurrent first events create a worker once", async () => {
  const { runtime } = memoryRuntime();
  await Promise.all(Array.from({ length: 10 }, () => runtime.worker("a").narrate("x", "y")));
  const kinds = [EventKind.WORKER_CREATED];
  const events = eventsIn(await framesUntil(runtime.watch({ workerIds: ["a"], kinds }), isDiagnostic("caughtUp")));
  expect(events).toHaveLength(1);
});

test("output is kept byte for byte, split, and its offsets go on after a restart", async () => {
  const { runtime, log, clock } = memoryRuntime();
  const data = Uint8Array.from({ length: limits.maxOutputChunkBytes * 2 + 5 }, (_, i) => i * 7);
  const worker = runtime.worker("a");
  await Promise.all([worker.stdout(data), worker.stderr("é".repeat(3)), worker.stdout("")]);
  const again = new Runtime({ log, clock }).worker("a");
  await again.stdout("end");
  const frames = await framesUntil(runtime.watch({ workerIds: ["a"] }), isDiagnostic("caughtUp"));
  const chunks = eventsIn(frames).flatMap(({ payload }) => (payload.case === "output" ? [payload.value] : []));
  const stdout = chunks.filter(({ stream }) => stream === OutputStream.STDOUT);
  let offset = 0;
  for (const chunk of stdout) {
    expect(chunk.offset).toBe(BigInt(offset));
    offset += chunk.data.length;
  }
  const expected = Buffer.concat([data, Buffer.from("end")]);
  expect(Buffer.concat(stdout.map((chunk) => chunk.data)).equals(expected)).toBe(true);
});

test("a worker that has ended takes no more events, also in the batch that ends it", async () => {
  const { runtime, log, clock } = memoryRuntime();
  const worker = runtime.worker("a");
  const ended = { case: "workerEnded", value: { outcome: WorkerOutcome.SUCCEEDED, exitCode: 0 } } as const;
  const twice = [{ workerId: "a", payload: ended }, ...customEvents("a", 1)];
  await expect(runtime.publish(twice)).rejects.toMatchObject({
    reason: "invalid_request",
    details: { field: "events[1].worker_id" },
  });
  await worker.publish(ended);
  await expect(worker.stdout("late")).rejects.toMatchObject({ reason: "invalid_request" });
  await expect(new Runtime({ log, clock }).worker("a").stdout("late")).rejects.toMatchObject({
    reason: "invalid_request",
  });
  const frames = await framesUntil(
    runtime.watch({ workerIds: ["a"], start: { case: "startAt", value: StartAt.LATEST } }),
    () => false,
  );
  expect(frames.filter(isDiagnostic("streamEnded"))).toEqual(frames.slice(-1));
});

test("only the runtime says its own kinds, and jobs do not exist yet", async () => {
  const { runtime } = memoryRuntime();
  const refused = runtime.publishEvents(
    batch({ events: [...customEvents("a", 1), { workerId: "a", payload: { case: "workerRemoved", value: {} } }] }),
  );
  await expect(refused).rejects.toMatchObject({ details: { field: "events[1].worker_removed" } });
  const ofJob = runtime.publishEvents(batch({ events: customEvents("a", 1).map((e) => ({ ...e, jobId: "j" })) }));
  await expect(ofJob).rejects.toMatchObject({ reason: "job_not_found", details: { jobId: "j" } });
  expect(runtime.log.worker("a")).toBeUndefined();
});

test("what a worker said of itself survives, and changes what GetWorker answers", async () => {
  const { runtime, log, clock } = memoryRuntime();
  const worker = runtime.worker("a");
  await worker.describe({ displayName: "Ada", labels: { team: "x" } });
  await worker.status(WorkerState.PAUSED);
  const ask = (ifRevisionNot = "") => create(GetWorkerRequestSchema, { workerId: "a", ifRevisionNot });
  for (const instance of [runtime, new Runtime({ log, clock })]) {
    const answer = instance.getWorker(ask());
    expect(answer.worker).toMatchObject({ state: WorkerState.PAUSED, info: { displayName: "Ada" } });
    expect(instance.getWorker(ask(answer.revision))).toMatchObject({ notModified: true, cursor: answer.cursor });
  }
  const { revision } = runtime.getWorker(ask());
  await worker.stdout("x");
  expect(runtime.getWorker(ask(revision))).toMatchObject({ notModified: false });
  const missing = create(GetWorkerRequestSchema, { workerId: "nobody" });
  expect(() => runtime.getWorker(missing)).toThrow(expect.objectContaining({ reason: "worker_not_found" }));
});

test("a watch from the cursor of a projection neither repeats nor misses", async () => {
  const { runtime } = memoryRuntime();
  await runtime.publish(customEvents("a", 5));
  const { cursor } = runtime.getWorker(create(GetWorkerRequestSchema, { workerId: "a" }));
  await runtime.publish(customEvents("a", 2, 6));
  const watch = runtime.watch({ workerIds: ["a"], start: { case: "cursor", value: cursor } });
  expect(eventsIn(await framesUntil(watch, isDiagnostic("caughtUp"))).map((event) => event.workerSequence)).toEqual([
    7n,
    8n,
  ]);
});

test("workers are listed in pages, in order, each once", async () => {
  const { runtime } = memoryRuntime();
  const ids = Array.from({ length: 25 }, (_, i) => `worker ${(i * 7) % 25}`);
  for (const id of ids) await runtime.worker(id).narrate("x", "y");
  const listed: string[] = [];
  let pageToken = "";
  do {
    const page = runtime.listWorkers(create(ListWorkersRequestSchema, { pageSize: 10, pageToken }));
    listed.push(...page.workers.map(({ workerId }) => workerId));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  expect(listed).toEqual([...ids].sort());
  const bad = create(ListWorkersRequestSchema, { pageToken: "%" });
  expect(() => runtime.listWorkers(bad)).toThrow(
    expect.objectContaining({ message: expect.stringMatching(/^page_token/) }),
  );
});

test("pages of ListEvents are the events of a watch, up to a cursor too", async () => {
  const { runtime } = memoryRuntime();
  await runtime.publish(customEvents("a", 30));
  const watched = eventsIn(await framesUntil(runtime.watch(), isDiagnostic("caughtUp")));
  const until = watched[20]?.cursor ?? "";
  for (const untilCursor of ["", until]) {
    const listed = [];
    let cursor = "";
    for (let complete = false; !complete; ) {
      const start = cursor === "" ? { case: undefined } : ({ case: "cursor", value: cursor } as const);
      const page = await runtime.listEvents(create(ListEventsRequestSchema, { start, pageSize: 7, untilCursor }));
      listed.push(...page.events);
      ({ cursor, complete } = page);
    }
    expect(listed).toEqual(untilCursor === "" ? watched : watched.slice(0, 21));
  }
});

test("a watch may come before its worker", async () => {
  const { runtime, clock } = memoryRuntime();
  await expect(framesUntil(runtime.watch({ workerIds: ["late"] }), () => true)).rejects.toMatchObject({
    reason: "worker_not_found",
  });
  const request = { workerIds: ["late"], ifMissing: IfMissing.WAIT };
  const frames = framesUntil(runtime.watch(request), (frame) => frame.case === "events");
  await runtime.worker("other").stdout("x");
  await runtime.worker("late").stdout("y");
  // What was just told is gathered for a moment, which this clock does not move on by itself.
  clock.advance(limits.coalesceMs);
  expect(eventsIn(await frames).map(({ workerId }) => workerId)).toEqual(["late", "late"]);
});

test("a slow loop holds back its own watch only, and leaving it leaves nothing", async () => {
  const { runtime } = memoryRuntime();
  const frames = runtime.watch()[Symbol.asyncIterator]();
  expect((await frames.next()).value).toMatchObject({ case: "opened" });
  await runtime.publish(customEvents("a", 3));
  expect(runtime.watches).toBe(1);
  await frames.return?.();
  expect(runtime.watches).toBe(0);
  expect(await frames.next()).toMatchObject({ done: true });
});

test("closing refuses what comes and ends what is there", async () => {
  const { runtime, clock } = memoryRuntime();
  const frames = framesUntil(runtime.watch(), () => false);
  await runtime.publish(customEvents("a", 1));
  await runtime.close();
  expect((await frames).slice(-1).filter(isDiagnostic("serverClosing"))).toHaveLength(1);
  await expect(runtime.publish(customEvents("a", 1))).rejects.toMatchObject({ reason: "server_closing" });
  await expect(framesUntil(runtime.watch(), () => true)).rejects.toMatchObject({ reason: "server_closing" });
  expect(clock.pending).toBe(0);
});

test("an id that is no well-formed text is refused, because encoded it would be another one", async () => {
  const { runtime } = memoryRuntime();
  const id = "a\ud800";
  const refused = (field: string) => ({ reason: "invalid_request", details: { field } });
  const requests: [string, () => unknown][] = [
    ["events[0].worker_id", () => runtime.publish(customEvents(id, 1))],
    ["worker_id", () => runtime.worker(id)],
    ["worker_id", () => runtime.getWorker(create(GetWorkerRequestSchema, { workerId: id }))],
    ["worker_ids[1]", () => framesUntil(runtime.watch({ workerIds: ["a", id] }), () => true)],
    [
      "producer_id",
      () => runtime.publishEvents(batch({ events: customEvents("a", 1), producerId: id, firstProducerSequence: 1n })),
    ],
    ["runtimeId", () => new MemoryLog({ runtimeId: id })],
  ];
  for (const [field, ask] of requests) {
    await expect((async () => ask())(), field).rejects.toMatchObject(refused(field));
  }
  // What is well-formed may be of any characters.
  await runtime.publish(customEvents("\ud83d\ude00", 1));
});

test("says of every block that it does not read it any more, and once", async () => {
  const { log, clock } = memoryRuntime();
  const dones: number[] = [];
  const subscribe: EventLog["subscribe"] = (listener) =>
    log.subscribe((block, done) => {
      const own = dones.push(0) - 1;
      listener(block, () => {
        dones[own] = (dones[own] as number) + 1;
        done();
      });
    });
  const counted = new Proxy<EventLog>(log, {
    get(target, name) {
      const value = name === "subscribe" ? subscribe : (Reflect.get(target, name, target) as unknown);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const runtime = new Runtime({ log: counted, clock });
  const left = framesUntil(runtime.watch(), isDiagnostic("serverClosing"));
  for (let round = 0; round < 3; round++) {
    await Promise.all(["a", "b", "c"].map((workerId) => runtime.publish(customEvents(workerId, 1))));
  }
  await runtime.close();
  await left;
  expect(dones.length).toBeGreaterThan(6);
  expect(dones).toEqual(dones.map(() => 1));
});
