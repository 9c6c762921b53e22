import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { TailraceError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { createWorkers } from "../../src/client/index.ts";
import { diagnosticOf } from "../../src/events/diagnostics.ts";
import { startScriptedServer } from "./scripted-server.ts";

const ids = Array.from({ length: 7 }, (_, i) => `worker-${i}`);

describe("reading workers", () => {
  it("gives all of them, page by page", async () => {
    const tokens: string[] = [];
    const server = await startScriptedServer({
      workers: {
        listWorkers({ pageToken, pageSize }) {
          expect(pageSize).toBe(limits.maxWorkerPage);
          tokens.push(pageToken);
          const from = Number(pageToken);
          const nextPageToken = from + 3 < ids.length ? String(from + 3) : "";
          return { workers: ids.slice(from, from + 3).map((workerId) => ({ workerId })), nextPageToken };
        },
      },
    });
    const workers = createWorkers({ baseUrl: server.url });
    const listed: string[] = [];
    for await (const worker of workers.list()) listed.push(worker.workerId);
    expect(listed).toEqual(ids);
    expect(tokens).toEqual(["", "3", "6"]);
    workers.close();
  });

  it("gives one with the cursor to watch from", async () => {
    const server = await startScriptedServer({
      workers: { getWorker: ({ workerId }) => ({ worker: { workerId }, cursor: "c", revision: "r" }) },
    });
    const answer = await createWorkers({ baseUrl: server.url }).get("w");
    expect(answer).toMatchObject({ worker: { workerId: "w" }, cursor: "c", revision: "r" });
  });

  it("throws what the server says, and connection_failed when there is none", async () => {
    const details = { workerId: "w" };
    const server = await startScriptedServer({
      workers: {
        getWorker() {
          const value = diagnosticOf(new TailraceError("worker_not_found", details, "There is no such worker."));
          throw new ConnectError("no", Code.NotFound, undefined, [{ desc: StreamDiagnosticSchema, value }]);
        },
      },
    });
    const workers = createWorkers({ baseUrl: server.url });
    await expect(workers.get("w")).rejects.toMatchObject({ reason: "worker_not_found", details });
    await server.kill();
    await expect(workers.get("w")).rejects.toMatchObject({ reason: "connection_failed" });
    await expect(workers.list().next()).rejects.toMatchObject({ reason: "connection_failed" });
  });
});
