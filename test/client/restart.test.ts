import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it, onTestFinished, vi } from "vitest";
import { createPublisher, watch } from "../../src/client/index.ts";
import { scratchDirectory } from "../support/scratch.ts";

/** A server in a process of its own, on a log on disk. */
async function startServer(directory: string, port: number): Promise<{ url: string; child: ChildProcess }> {
  const main = join(import.meta.dirname, "../../src/cli/main.ts");
  const child = spawn(process.execPath, [main, "serve", "--listen", `127.0.0.1:${port}`, "--data", directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const ready = /^tailrace ready (http:\/\/\S+)$/.exec(line);
    if (ready !== null) return { url: ready[1] as string, child };
  }
  throw new Error("the server ended before it was ready");
}

it("loses and repeats nothing over SIGKILLs of the server, for the watch and for the publisher", {
  timeout: 60_000,
}, async () => {
  const directory = join(scratchDirectory(), "log");
  let server = await startServer(directory, 0);
  const { url } = server;
  const backoff = { initialMs: 20, maxMs: 100 };

  const seen: number[] = [];
  const holes: unknown[] = [];
  const watched = watch({
    baseUrl: url,
    backoff,
    verifyWorkerSequence: true,
    workerIds: ["w"],
    ifMissing: "wait",
    onStatus: (status) => status.kind === "sequence_hole" && holes.push(status),
  });
  const watching = (async () => {
    for await (const event of watched) {
      if (event.payload.case === "narration") seen.push(Number(event.payload.value.message));
    }
  })();
  const publisher = createPublisher({ baseUrl: url, backoff });

  let published = 0;
  let publishing = true;
  const acknowledged: Promise<unknown>[] = [];
  const producing = (async () => {
    while (publishing) {
      await publisher.ready();
      const message = String(++published);
      acknowledged.push(publisher.publish({ workerId: "w", payload: { case: "narration", value: { message } } }));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();

  for (let kill = 1; kill <= 3; kill++) {
    const before = seen.length;
    await vi.waitFor(() => expect(seen.length).toBeGreaterThan(before + 100), { timeout: 15_000 });
    const exited = once(server.child, "exit");
    server.child.kill("SIGKILL");
    await exited;
    server = await startServer(directory, Number(new URL(url).port));
  }
  publishing = false;
  await producing;
  await publisher.close();
  await Promise.all(acknowledged);
  await vi.waitFor(() => expect(seen).toHaveLength(published), { timeout: 15_000 });
  await watched.close();
  await watching;
  expect(seen).toEqual(Array.from({ length: published }, (_, i) => i + 1));
  expect(holes).toEqual([]);
});
