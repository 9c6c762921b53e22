// A backend that watches some workers and keeps what it saw. It may be killed at any instant: every line that it writes
// holds the event's cursor, so what was seen and where to go on can't disagree. The file is its own checkpoint.
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { type Checkpoint, watch } from "../src/client/index.ts";

const [server, path, ...workerIds] = process.argv.slice(2) as [string, string, ...string[]];

const file = openSync(path, "a");

const checkpoint: Checkpoint = {
  async load() {
    const text = readFileSync(path, "utf8");
    // A line without its end was cut by the kill: its event comes again.
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    ftruncateSync(file, Buffer.byteLength(whole));
    const newest = whole.trimEnd().split("\n").at(-1);
    return newest === undefined || newest === "" ? undefined : (JSON.parse(newest) as { cursor: string }).cursor;
  },
  async save() {
    // The position is saved with every event already.
  },
};

for await (const event of watch({ baseUrl: server, workerIds, ifMissing: "wait", checkpoint })) {
  writeSync(
    file,
    `${JSON.stringify({ cursor: event.cursor, sequence: String(event.sequence), worker: event.workerId })}\n`,
  );
}
closeSync(file);
