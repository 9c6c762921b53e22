import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { CursorUnknownCause } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import {
  EventStreamService,
  type ListEventsRequestSchema,
  OnExpired,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { openJetStreamLog } from "../../src/log/jetstream/index.ts";
import { freshNamespace } from "../log/jetstream/support.ts";
import { type NatsProcess, startNats } from "../support/nats.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { connectHttp1 } from "./edges/connect.ts";
import { edges, sseEdges } from "./edges/index.ts";
import { reconnect, resumeFrom, view } from "./viewer.ts";
import { idsOf, publishBatch, publishIds, serveOver, type World } from "./world.ts";

const lost = { case: "cursorUnknown", value: { cause: CursorUnknownCause.OTHER_HISTORY } } as const;
const withGap = { workerIds: ["w"], onExpired: OnExpired.CONTINUE_WITH_GAP };

function serveOn(nats: NatsProcess, namespace: string): Promise<World> {
  return serveOver({ name: "JetStream", open: () => openJetStreamLog({ servers: [nats.url], namespace }) });
}

async function end(...worlds: readonly World[]): Promise<void> {
  for (const { server, runtime } of worlds) {
    await server.close({ graceMs: 50 });
    await runtime.close();
  }
}

/** Something that the worker's transcript has. */
async function say({ runtime }: World, messageId: string): Promise<void> {
  await runtime.publish([{ workerId: "w", payload: { case: "userMessage", value: { messageId } } }]);
}

/** Copies all that NATS has stored, as a backup of its machine, or what a loss of power leaves. */
async function backUp(nats: NatsProcess): Promise<() => Promise<void>> {
  const copy = join(scratchDirectory(), "backup");
  await nats.stop();
  cpSync(nats.storeDirectory, copy, { recursive: true });
  await nats.start();
  return async () => {
    await nats.stop();
    rmSync(nats.storeDirectory, { recursive: true });
    cpSync(copy, nats.storeDirectory, { recursive: true });
    await nats.start();
  };
}

/** A cursor that the log lost is told so, wherever it is given. */
async function expectLost({ url }: World, cursor: string): Promise<void> {
  for (const edge of edges) {
    const viewer = view(edge, url, resumeFrom(cursor, { workerIds: ["w"] }));
    expect((await viewer.end()).detail?.reason).toMatchObject(lost);
    expect(viewer.events).toEqual([]);
  }
  for (const edge of sseEdges) {
    const viewer = reconnect(edge, url, cursor, { workerIds: ["w"] });
    await viewer.end();
    expect(viewer.terminal?.reason).toMatchObject(lost);
    expect(viewer.events).toEqual([]);
  }
  const client = connectHttp1.client(url);
  const list = (request: MessageInitShape<typeof ListEventsRequestSchema>) =>
    client.unary(EventStreamService.method.listEvents, { workerIds: ["w"], ...request });
  const refused = { code: "failed_precondition", detail: { reason: lost } };
  await expect(list(resumeFrom(cursor) as object)).rejects.toMatchObject(refused);
  await expect(list({ untilCursor: cursor })).rejects.toMatchObject(refused);
  // A gap goes on where there is something, and says so. The end of a page can't be anywhere else.
  await expect(list({ untilCursor: cursor, ...withGap })).rejects.toMatchObject(refused);
  const page = await list({ ...(resumeFrom(cursor) as object), ...withGap });
  expect(page.gap?.reason.case).toBe("gap");
  client.close();
}

test("the stream and the bucket are restored together: cursors of what is lost are told so, and all others go on", async () => {
  const nats = await startNats();
  const namespace = freshNamespace();
  const before = await serveOn(nats, namespace);
  const kept = await publishIds(before.runtime, "w", idsOf("kept", 3));
  await end(before);
  const restore = await backUp(nats);

  const during = await serveOn(nats, namespace);
  // A server that starts again is no other history.
  const resumed = await view(connectHttp1, during.url, resumeFrom(kept.cursor, { workerIds: ["w"] })).live();
  expect(resumed.ids).toEqual([]);
  const forgotten: string[] = [];
  for (const id of idsOf("lost", 12)) forgotten.push((await publishIds(during.runtime, "w", [id])).cursor);
  await say(during, "lost");
  const client = connectHttp1.client(during.url);
  const worker = await client.unary(WorkerService.method.getWorker, { workerId: "w" });
  const transcript = await client.unary(WorkerService.method.getTranscript, { workerId: "w" });
  client.close();
  await end(during);
  await restore();

  const [one, two] = await Promise.all([serveOn(nats, namespace), serveOn(nats, namespace)]);
  expect(one.log.identity).toEqual(before.log.identity);
  const [first, middle, last] = [forgotten[0], forgotten[5], forgotten[11]] as [string, string, string];
  // Before the log has grown to there again, at a server that has written and at one that has not.
  await expectLost(one, last);
  await expectLost(two, last);

  // As many events of the worker as were lost.
  await publishBatch(one.runtime, "w", idsOf("now", 6));
  await publishIds(two.runtime, "w", idsOf("now", 6, 7));
  await say(one, "now");
  const now = [...idsOf("kept", 3), ...idsOf("now", 12)];
  const third = await serveOn(nats, namespace);
  const head = third.log.bounds({ kind: "runtime" }).head.sequence;
  expect(head).toBeGreaterThanOrEqual(third.runtime.cursors.decode(last).position.sequence);
  for (const world of [one, two, third]) for (const cursor of [first, middle, last]) await expectLost(world, cursor);
  for (const edge of edges) {
    const follows = await view(edge, two.url, resumeFrom(kept.cursor, { workerIds: ["w"] })).live();
    expect(follows.ids).toEqual(idsOf("now", 12));
    const behindGap = await view(edge, third.url, resumeFrom(middle, withGap)).live();
    expect(behindGap.diagnostics[0]?.reason).toMatchObject({ case: "gap", value: { fromCursor: "", lostEvents: 0n } });
    expect(behindGap.ids).toEqual(now);
  }
  const again = connectHttp1.client(third.url);
  const request = { workerId: "w", ifRevisionNot: worker.revision };
  const workerNow = await again.unary(WorkerService.method.getWorker, request);
  expect(workerNow.worker?.lastWorkerSequence).toBe(worker.worker?.lastWorkerSequence);
  expect(workerNow.notModified).toBe(false);
  const changes = await again.unary(WorkerService.method.getTranscript, {
    workerId: "w",
    changedSince: transcript.revision,
  });
  expect(changes).toMatchObject({ reset: true, keptEntries: 1n });
  again.close();

  // Every cursor of the restored log goes on over restarts, also at a server that has not folded what came before.
  await end(one, two, third);
  const late = await serveOn(nats, namespace);
  const { events, ids } = await view(connectHttp1, late.url, { workerIds: ["w"] }).live();
  expect(ids).toEqual(now);
  for (const [i, { cursor }] of events.entries()) {
    const follows = await view(connectHttp1, late.url, resumeFrom(cursor, { workerIds: ["w"] })).live();
    expect(follows.events).toEqual(events.slice(i + 1));
  }
  await expectLost(late, middle);
});
