import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it, onTestFinished } from "vitest";
import { createPublisher, watch } from "../../src/client/index.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { eventually } from "../support/until.ts";

/** A server in a process of its own, on a log on disk. */
async function startServer(directory: string): Promise<{ port: number; child: ChildProcess }> {
  const main = join(import.meta.dirname, "../../src/cli/main.ts");
  const child = spawn(process.execPath, [main, "serve", "--listen", "127.0.0.1:0", "--data", directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const ready = /^tailrace ready http:\/\/\S+:(\d+)$/.exec(line);
    if (ready !== null) return { port: Number(ready[1]), child };
  }
  throw new Error("the server ended before it was ready");
}

it("loses and repeats nothing over SIGKILLs of the server, for the watch and for the publisher", async () => {
  const directory = join(scratchDirectory(), "log");
  let server = await startServer(directory);
  // Keeps the address while the server is away: its own port could be anyone's by the time that it is back.
  const proxy = await startTcpProxy(server.port);
  const { url } = proxy;
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
    await eventually(() => expect(seen.length).toBeGreaterThan(before + 100));
    const exited = once(server.child, "exit");
    server.child.kill("SIGKILL");
    await exited;
    proxy.refuse();
    server = await startServer(directory);
    proxy.target(server.port);
    proxy.heal();
  }
  publishing = false;
  await producing;
  await publisher.close();
  await Promise.all(acknowledged);
  await eventually(() => expect(seen).toHaveLength(published));
  await watched.close();
  await watching;
  expect(seen).toEqual(Array.from({ length: published }, (_, i) => i + 1));
  expect(holes).toEqual([]);
});
