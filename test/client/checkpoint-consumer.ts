/**
 * A consumer that a test kills: prints the number of every event, and is done with it when a line on stdin says so.
 * Arguments: address, checkpoint file.
 */
import { createInterface } from "node:readline";
import { fileCheckpoint, watch } from "../../src/client/index.ts";

const [baseUrl, path] = process.argv.slice(2) as [string, string];
const done = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
for await (const event of watch({ baseUrl, checkpoint: fileCheckpoint(path), checkpointIntervalMs: 5 })) {
  process.stdout.write(`${event.sequence}\n`);
  await done.next();
}
