/** A consumer that a test kills: prints every event's number, and is slow about it. Arguments: address, checkpoint file. */
import { setTimeout as delay } from "node:timers/promises";
import { fileCheckpoint, watch } from "../../src/client/index.ts";

const [baseUrl, path] = process.argv.slice(2) as [string, string];
for await (const event of watch({ baseUrl, checkpoint: fileCheckpoint(path), checkpointIntervalMs: 5 })) {
  process.stdout.write(`${event.sequence}\n`);
  await delay(1);
}
