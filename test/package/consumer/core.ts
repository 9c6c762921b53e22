// Publishes and reads with the core alone, as a program that installed the package does, on each log; the one on disk is
// closed and opened again in between. Prints what it read.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EventLog, MemoryLog, openEmbeddedLog, Runtime } from "tailrace";

async function publish(log: EventLog): Promise<Runtime> {
  const runtime = new Runtime({ log });
  const worker = runtime.worker("builder");
  for (const line of ["one ", "two ", "three"]) await worker.stdout(line);
  return runtime;
}

async function read(runtime: Runtime): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const frame of runtime.watch({ workerIds: ["builder"] })) {
    if (frame.case !== "events") continue;
    for (const { payload } of frame.value.events) {
      if (payload.case === "output") text += decoder.decode(payload.value.data);
    }
    if (text.endsWith("three")) break;
  }
  await runtime.close();
  return text;
}

const directory = await mkdtemp(join(tmpdir(), "tailrace-core-"));
try {
  const memory = await read(await publish(new MemoryLog()));
  await (await publish(await openEmbeddedLog({ directory }))).close();
  const embedded = await read(new Runtime({ log: await openEmbeddedLog({ directory }) }));
  console.log(JSON.stringify({ memory, embedded }));
} finally {
  await rm(directory, { recursive: true });
}
