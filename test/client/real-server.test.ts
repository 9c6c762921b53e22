import { describe, expect, it, onTestFinished } from "vitest";
import { WorkerOutcome } from "../../gen/tailrace/v1/payloads_pb.ts";
import type { RetentionLimits } from "../../src/base/limits.ts";
import {
  createPublisher,
  createWorkers,
  type NewEventInit,
  type NodeWatchOptions,
  type WatchStatus,
  watch,
} from "../../src/client/index.ts";
import { MemoryLog } from "../../src/log/memory/index.ts";
import { Runtime } from "../../src/runtime/runtime.ts";
import { createServer, type Server } from "../../src/server/index.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { eventually } from "../support/until.ts";

function say(number: number, workerId = "w"): NewEventInit {
  return { workerId, payload: { case: "narration", value: { action: "count", message: String(number) } } };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

async function startRuntime(retention: Partial<RetentionLimits> = {}) {
  const log = new MemoryLog({ retention });
  let runtime = new Runtime({ log });
  let server: Server | undefined;
  onTestFinished(async () => {
    await server?.close({ graceMs: 0 });
    await runtime.close();
  });
  return {
    get runtime() {
      return runtime;
    },
    async serve(): Promise<Server> {
      server = await createServer({ runtime, listen: "127.0.0.1:0" });
      return server;
    },
    /** Shuts the server down, and opens another on the same log and port after `meanwhile`. */
    async restart(meanwhile: () => Promise<unknown>): Promise<void> {
      const { port } = (server as Server).address;
      await server?.close();
      runtime = new Runtime({ log });
      await meanwhile();
      server = await createServer({ runtime, listen: `127.0.0.1:${port}` });
    },
    publish: (from: number, to: number, workerId?: string) =>
      runtime.publish(range(from, to).map((number) => say(number, workerId))),
  };
}

/** Follows a watch and keeps the numbers that were narrated. */
function follow(options: NodeWatchOptions) {
  const seen: number[] = [];
  const statuses: WatchStatus[] = [];
  const watched = watch({
    kinds: ["narration"],
    backoff: { initialMs: 20, maxMs: 50 },
    onStatus: (status) => statuses.push(status),
    ...options,
  });
  const ended = (async () => {
    for await (const event of watched) {
      if (event.payload.case === "narration") seen.push(Number(event.payload.value.message));
    }
  })();
  onTestFinished(async () => {
    await watched.close();
    await ended.catch(() => undefined);
  });
  return { seen, statuses, watched, ended };
}

describe.each(["1.1", "2"] as const)("a real server over HTTP/%s", (httpVersion) => {
  it("is left, restarted and resumed, with what was published meanwhile, none twice", async () => {
    const { serve, restart, publish } = await startRuntime();
    const server = await serve();
    await publish(1, 5_000);
    const { seen, statuses } = follow({ baseUrl: server.url, httpVersion });
    await eventually(() => expect(seen).toHaveLength(5_000));
    await publish(5_001, 5_010);
    await eventually(() => expect(seen).toHaveLength(5_010));
    await restart(() => publish(5_011, 6_000));
    await eventually(() => expect(seen).toHaveLength(6_000));
    await publish(6_001, 6_005);
    await eventually(() => expect(seen).toHaveLength(6_005));
    expect(seen).toEqual(range(1, 6_005));
    const kinds = statuses.map((status) => status.kind);
    expect(kinds.slice(0, 2)).toEqual(["opened", "caught_up"]);
    expect(statuses.filter((status) => status.kind === "opened").map((status) => status.resumed)).toEqual([
      false,
      true,
    ]);
    expect(statuses.find((status) => status.kind === "reconnecting")?.error.reason).toBe("server_closing");
  });

  it("gives every event once over 5 cuts in the middle of a replay, and no worker has a hole", async () => {
    const { serve, publish } = await startRuntime();
    const server = await serve();
    for (let from = 1; from <= 40_000; from += 4_000) await publish(from, from + 3_999);
    const proxy = await startTcpProxy(server.address.port);
    let cuts = 0;
    proxy.cutAfter(500_001);
    const { seen, statuses } = follow({
      baseUrl: proxy.url,
      httpVersion,
      kinds: [],
      verifyWorkerSequence: true,
      onStatus(status) {
        statuses.push(status);
        if (status.kind === "reconnecting" && ++cuts < 5) proxy.cutAfter(500_001 + cuts * 7_777);
      },
    });
    await eventually(() => expect(seen.length).toBeGreaterThanOrEqual(40_000));
    expect(seen).toEqual(range(1, 40_000));
    expect(cuts).toBe(5);
    expect(statuses.filter((status) => status.kind === "sequence_hole")).toEqual([]);
  });
});

describe("a real server", () => {
  it("says exactly what is lost, as an error or as a gap", async () => {
    const { runtime, serve, publish } = await startRuntime({ workerEvents: 100 });
    const server = await serve();
    await publish(1, 10);
    const early = await runtime.publish([say(11)]);
    await publish(12, 500);
    const scope = { baseUrl: server.url, workerIds: ["w"], cursor: early.cursor, kinds: [] };
    await expect(follow(scope).ended).rejects.toMatchObject({
      reason: "cursor_expired",
      details: { requestedCursor: early.cursor, lostEvents: 389, lostExact: true },
    });
    const { seen, statuses } = follow({
      ...scope,
      onExpired: "continue_with_gap",
      verifyWorkerSequence: true,
      kinds: [],
    });
    await eventually(() => expect(seen).toHaveLength(100));
    expect(seen).toEqual(range(401, 500));
    expect(statuses.slice(0, 2)).toMatchObject([{ kind: "opened" }, { kind: "gap", lostEvents: 389, lostExact: true }]);
    expect(statuses.filter((status) => status.kind === "sequence_hole")).toEqual([]);
  });

  it("stops for a worker that is not there, or waits for it", async () => {
    const { serve, publish } = await startRuntime();
    const server = await serve();
    const scope = { baseUrl: server.url, workerIds: ["late"] };
    await expect(follow(scope).ended).rejects.toMatchObject({
      reason: "worker_not_found",
      details: { workerId: "late" },
    });
    const { seen, statuses } = follow({ ...scope, ifMissing: "wait" });
    await eventually(() => expect(statuses[0]?.kind).toBe("opened"));
    await publish(1, 3, "late");
    await eventually(() => expect(seen).toEqual([1, 2, 3]));
  });

  it("ends the watch of a worker with its outcome, and again when asked from there", async () => {
    const { runtime, serve, publish } = await startRuntime();
    const server = await serve();
    await publish(1, 3);
    await runtime.worker("w").end({ outcome: WorkerOutcome.FAILED, exitCode: 3 });
    const { seen, ended, watched } = follow({ baseUrl: server.url, workerIds: ["w"] });
    await ended;
    expect(seen).toEqual([1, 2, 3]);
    const outcome = { case: "worker", value: { outcome: WorkerOutcome.FAILED, exitCode: 3 } };
    expect(watched.outcome).toMatchObject(outcome);
    const again = follow({ baseUrl: server.url, workerIds: ["w"], cursor: watched.cursor as string });
    await again.ended;
    expect(again.seen).toEqual([]);
    expect(again.watched.outcome).toMatchObject(outcome);
  });

  it("takes what a publisher sends once, in order, whatever is cut", async () => {
    const { runtime, serve } = await startRuntime();
    const server = await serve();
    const proxy = await startTcpProxy(server.address.port);
    const { seen } = follow({ baseUrl: server.url });
    await using publisher = createPublisher({ baseUrl: proxy.url, backoff: { initialMs: 5, maxMs: 10 } });
    const receipts: Promise<{ lastSequence: bigint }>[] = [];
    for (let number = 1; number <= 3_000; number++) {
      receipts.push(publisher.publish(say(number)));
      if (number % 300 === 0) {
        proxy.cutAfter(number % 7);
        await receipts.at(-1);
      }
    }
    const settled = await Promise.all(receipts);
    expect(settled.every((receipt, i) => i === 0 || receipt.lastSequence > (settled[i - 1]?.lastSequence ?? 0n))).toBe(
      true,
    );
    await eventually(() => expect(seen).toHaveLength(3_000));
    expect(seen).toEqual(range(1, 3_000));
    expect(runtime.log.worker("w")?.retainedEvents).toBeGreaterThanOrEqual(3_000);
  });

  it("lists workers, with the cursor that a watch goes on from", async () => {
    const { serve, publish } = await startRuntime();
    const server = await serve();
    await publish(1, 2, "a");
    await publish(1, 2, "b");
    const workers = createWorkers({ baseUrl: server.url });
    const ids: string[] = [];
    for await (const worker of workers.list()) ids.push(worker.workerId);
    expect(ids).toEqual(["a", "b"]);
    const { worker, cursor } = await workers.get("b");
    expect(worker.workerId).toBe("b");
    const { seen } = follow({ baseUrl: server.url, workerIds: ["b"], cursor });
    await publish(3, 4, "b");
    await eventually(() => expect(seen).toEqual([3, 4]));
  });
});
