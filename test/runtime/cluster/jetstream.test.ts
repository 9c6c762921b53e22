import { create } from "@bufbuild/protobuf";
import { expect, type TestContext, test } from "vitest";
import type { Event } from "../../../gen/tailrace/v1/event_pb.ts";
import { ListEventsRequestSchema } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ListWorkersRequestSchema } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { hasReason } from "../../../src/base/errors.ts";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import { freshNamespace } from "../../log/jetstream/support.ts";
import { natsForFile } from "../../support/nats.ts";
import { until } from "../../support/until.ts";
import { batch, customEvents } from "../support.ts";
import { conversation, foldedFromLog, getTranscript, shown, stateOf, take } from "../transcripts/support.ts";

const nats = natsForFile();

async function serversOf({ onTestFinished }: TestContext, count: number): Promise<Runtime[]> {
  const namespace = freshNamespace();
  const servers: Runtime[] = [];
  for (let i = 0; i < count; i++) {
    const log = await openJetStreamLog({ servers: [nats().url], namespace });
    const runtime = new Runtime({ log });
    servers.push(runtime);
    onTestFinished(() => runtime.close());
  }
  return servers;
}

function headOf(runtime: Runtime): number {
  return runtime.log.bounds({ kind: "runtime" }).head.sequence;
}

/** Settles when all servers know the same. */
function agreed(servers: readonly Runtime[]): Promise<void> {
  return until(() => new Set(servers.map(headOf)).size === 1, "all servers to have come as far");
}

async function allEvents(runtime: Runtime): Promise<Event[]> {
  const events: Event[] = [];
  for (let cursor = ""; ; ) {
    const start = cursor === "" ? {} : { start: { case: "cursor", value: cursor } as const };
    const page = await runtime.listEvents(create(ListEventsRequestSchema, { ...start }));
    events.push(...page.events);
    if (page.complete) return events;
    cursor = page.cursor;
  }
}

function textOf({ payload }: Event): string {
  return payload.case === "custom" ? new TextDecoder().decode(payload.value.data) : "";
}

test("three servers publish as the same workers and producers at once, while the keeper goes", async (context) => {
  const servers = await serversOf(context, 3);
  const keeper = servers.findIndex(({ log }) => log.isKeeper);
  const others = servers.filter((_, i) => i !== keeper);
  const acknowledged: { readonly text: string; readonly worker: string; readonly sequence: number }[] = [];
  const rounds = 40;
  const talks = new Map<Runtime, ReturnType<typeof conversation>>();
  const publishing = servers.map(async (runtime, i) => {
    talks.set(runtime, conversation("shared"));
    for (let n = 0; n < rounds; n++) {
      if (i === keeper && n === rounds / 2) {
        await runtime.close();
        return;
      }
      const text = `${i}-${n}`;
      const data = new TextEncoder().encode(text);
      // Not one after the other: what they are asked for together keeps its order.
      const asked = [
        runtime.worker("shared").custom("mark", data),
        runtime.publish(take(talks.get(runtime) as ReturnType<typeof conversation>, 3)),
        runtime.worker("shared").status(n % 2 === 0 ? WorkerState.RUNNING : WorkerState.IDLE),
        runtime.worker("shared").custom("mark", `${text}+`),
      ];
      const [first, , , last] = await Promise.all(asked);
      acknowledged.push({ text, worker: "shared", sequence: Number(first?.lastSequence) });
      acknowledged.push({ text: `${text}+`, worker: "shared", sequence: Number(last?.lastSequence) });
    }
  });
  // Every batch of the producer goes to two of the servers at once, one of which may not have heard of the one before.
  const producing = (async () => {
    for (let n = 1; n <= rounds; n++) {
      const request = batch({
        events: customEvents("produced", 1, n),
        producerId: "p",
        firstProducerSequence: BigInt(n),
      });
      const answers = await Promise.all([0, 1].map((i) => (others[(n + i) % 2] as Runtime).publishEvents(request)));
      expect(new Set(answers.map(({ firstSequence }) => firstSequence)).size).toBe(1);
      expect(answers.map(({ duplicate }) => duplicate).sort()).toEqual([false, true]);
    }
  })();
  await Promise.all([...publishing, producing]);
  await until(() => others.some(({ log }) => log.isKeeper), "another keeper");
  await agreed(others);

  const [one, other] = others as [Runtime, Runtime];
  const events = await allEvents(one);
  expect((await allEvents(other)).map(({ sequence }) => sequence)).toEqual(events.map(({ sequence }) => sequence));
  for (const worker of ["shared", "produced"]) {
    const own = events.filter(({ workerId }) => workerId === worker);
    expect(own.map(({ workerSequence }) => Number(workerSequence))).toEqual(own.map((_, i) => i + 1));
    expect(own.filter(({ payload }) => payload.case === "workerCreated")).toHaveLength(1);
  }
  const texts = new Map(events.map((event) => [Number(event.sequence), textOf(event)]));
  for (const { text, sequence } of acknowledged) expect(texts.get(sequence)).toBe(text);
  const marks = events
    .filter(({ workerId }) => workerId === "shared")
    .map(textOf)
    .filter((text) => text !== "");
  expect(new Set(marks).size).toBe(marks.length);
  for (const i of servers.keys()) {
    const own = acknowledged.filter(({ text }) => text.startsWith(`${i}-`)).map(({ sequence }) => sequence);
    expect(own).toEqual(own.toSorted((a, b) => a - b));
  }
  const produced = events.filter(({ workerId }) => workerId === "produced").map(textOf);
  expect(produced.filter((text) => text !== "")).toEqual(Array.from({ length: rounds }, (_, i) => `${i + 1}`));
  expect(one.listWorkers(create(ListWorkersRequestSchema))).toEqual(
    other.listWorkers(create(ListWorkersRequestSchema)),
  );
  const whole = await getTranscript(one, "shared");
  expect(await getTranscript(other, "shared")).toEqual(whole);
  const { workerState } = stateOf(whole);
  expect(shown(stateOf(whole))).toEqual(shown({ ...(await foldedFromLog(one, "shared")), workerState }));
});

test("nothing follows the end of a worker, whichever server was told of it, and whatever was on its way", async (context) => {
  const servers = await serversOf(context, 3);
  for (let n = 0; n < 15; n++) {
    const id = `w${n}`;
    await (servers[n % 3] as Runtime).worker(id).stdout("begins");
    const asked = servers.flatMap((runtime, i) => [
      runtime.worker(id).custom("mark", "1"),
      runtime.worker(id).status(WorkerState.RUNNING),
      ...(i === (n + 1) % 3 ? [runtime.worker(id).end({ outcome: 1 })] : []),
      runtime.worker(id).custom("mark", "2"),
    ]);
    const settled = await Promise.allSettled(asked);
    const reasons = settled.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
    for (const reason of reasons) {
      expect(hasReason(reason, "invalid_request") ? reason.message : reason).toContain("has ended");
    }
  }
  await agreed(servers);
  const [one] = servers as [Runtime];
  const events = await allEvents(one);
  for (let n = 0; n < 15; n++) {
    const own = events.filter(({ workerId }) => workerId === `w${n}`);
    expect(own.map(({ payload }) => payload.case).indexOf("workerEnded")).toBe(own.length - 1);
    for (const runtime of servers) await expect(runtime.worker(`w${n}`).stdout("late")).rejects.toThrow(/has ended/);
  }
});
