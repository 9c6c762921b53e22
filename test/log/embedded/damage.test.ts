import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { hasReason } from "../../../src/base/errors.ts";
import { defaultRetention } from "../../../src/base/limits.ts";
import { encodeCheckpoint, restoreCheckpoint } from "../../../src/log/embedded/checkpoint.ts";
import { nodeFileSystem } from "../../../src/log/embedded/file-system.ts";
import { readIdentity } from "../../../src/log/embedded/identity.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { recover } from "../../../src/log/embedded/recover.ts";
import type { Segment } from "../../../src/log/embedded/segment.ts";
import { WorkerNumbers } from "../../../src/log/embedded/worker-numbers.ts";
import { LogIndex } from "../../../src/log/index/log-index.ts";
import { noFloor } from "../../../src/log/index/scope-entry.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { event, events, readAll, texts } from "../harness.ts";

const segment = "log/0000000001.segment";

/** Files of a log with three batches, as a killed process leaves them, and where each batch ends. */
interface Killed {
  readonly files: Map<string, Buffer>;
  readonly batchEnds: readonly number[];
  readonly expected: readonly (readonly string[])[];
}
let killed: Killed;

beforeAll(async () => {
  const base = mkdtempSync(join(tmpdir(), "tailrace-test-"));
  const directory = join(base, "data");
  const log = await openEmbeddedLog({ directory });
  const batchEnds: number[] = [];
  const expected: string[][] = [[]];
  for (const batch of [events("a", 2), [event("b", "b:1"), event("", "own")], events("a", 3, 3)]) {
    await log.append({ events: batch, state: new Map([["key", Uint8Array.of(batch.length)]]) });
    batchEnds.push(statSync(join(directory, segment)).size);
    expected.push(texts(await readAll(log)));
  }
  const files = new Map(["identity", segment].map((name) => [name, readFileSync(join(directory, name))]));
  await log.close();
  rmSync(base, { recursive: true });
  killed = { files, batchEnds, expected };
});

/** The index that the segments in a directory make, and the last of them. */
async function recovered(directory: string): Promise<{ index: LogIndex; file: Segment }> {
  const index = new LogIndex(defaultRetention);
  const { segments } = await recover(nodeFileSystem, join(directory, "log"), index, new WorkerNumbers(), "batch");
  return { index, file: segments.at(-1) as Segment };
}

/** A directory with these files. */
function lay(files: ReadonlyMap<string, Uint8Array>): string {
  const directory = join(scratchDirectory(), "data");
  for (const [name, bytes] of files) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), bytes);
  }
  return directory;
}

test("a batch that was cut off at any byte of the file's end is gone, whole", async () => {
  const whole = killed.files.get(segment) as Buffer;
  const [first, second] = killed.batchEnds as [number, number, number];
  const directory = lay(killed.files);
  for (let length = first; length < whole.length; length++) {
    writeFileSync(join(directory, segment), whole.subarray(0, length));
    const held = killed.expected[length < second ? 1 : 2] as string[];
    const { index, file } = await recovered(directory);
    expect(index.head.ordinal).toBe(held.length);
    expect(file.size).toBe(length < second ? first : second);
    expect(statSync(join(directory, segment)).size).toBe(file.size);
    file.drop();
  }
});

test("the log goes on after what was cut off", async () => {
  const whole = killed.files.get(segment) as Buffer;
  for (const length of [whole.length - 1, (killed.batchEnds[1] as number) + 1, (killed.batchEnds[0] as number) + 60]) {
    const directory = lay(killed.files);
    truncateSync(join(directory, segment), length);
    const log = await openEmbeddedLog({ directory });
    const held = await readAll(log);
    const { last } = await log.append({ events: [event("a", "next")] });
    expect(last.ordinal).toBe(held.length + 1);
    await log.close();
    const again = await openEmbeddedLog({ directory });
    expect(texts(await readAll(again))).toEqual([...texts(held), "next"]);
    await again.close();
  }
});

test("a last batch whose sectors were never written is cut off", async () => {
  const whole = killed.files.get(segment) as Buffer;
  const from = killed.batchEnds[1] as number;
  const zeroed = Buffer.from(whole);
  zeroed.fill(0, from);
  const directory = lay(new Map(killed.files).set(segment, Buffer.concat([zeroed, Buffer.alloc(4096)])));
  const log = await openEmbeddedLog({ directory });
  expect(texts(await readAll(log))).toEqual(killed.expected[2]);
  await log.close();
});

test("a changed byte anywhere is found, and the message names file and place", async () => {
  const directory = lay(killed.files);
  for (const [name, whole] of killed.files) {
    const path = join(directory, name);
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] as number) ^ (1 << (at % 8));
      writeFileSync(path, changed);
      const reading = name === segment ? recovered(directory) : readIdentity(nodeFileSystem, directory);
      const error = await reading.then(
        () => undefined,
        (error) => error,
      );
      if (!hasReason(error, "log_open_failed"))
        throw new Error(`byte ${at} of ${name} was changed, and nobody noticed`);
      expect(["corrupt", "newer_format"]).toContain(error.details.cause);
      expect(error.message).toContain(path);
      expect(error.message).toMatch(/at byte \d+|format/);
      // It is left as it was found, for whoever repairs it.
      expect(readFileSync(path).equals(changed)).toBe(true);
    }
    writeFileSync(path, whole);
  }
});

test("a changed byte of the checkpoint is found", async () => {
  const index = new LogIndex(defaultRetention);
  const numbers = new WorkerNumbers();
  const worker = index.workers.restore("a", 0, noFloor);
  numbers.bind(worker.number, numbers.take());
  for (const entry of [worker, index.jobs.restore("j", 4, noFloor)]) {
    entry.lastOrdinal = 5;
    entry.seen(1000);
    entry.floor = { sequence: 5, ordinal: 5, scopeOrdinal: 5 };
  }
  index.jobs.restoreName("k", 2);
  index.putState(new Map([["key", Uint8Array.of(1, 2, 3)]]));
  const whole = encodeCheckpoint(index, numbers, 3);
  const directory = scratchDirectory();
  writeFileSync(join(directory, "checkpoint"), whole);
  const fresh = () =>
    restoreCheckpoint(nodeFileSystem, directory, new LogIndex(defaultRetention), new WorkerNumbers(), new Map());
  expect(await fresh()).toEqual({ through: 3, size: whole.length });
  for (let at = 0; at < whole.length; at++) {
    const changed = Uint8Array.from(whole);
    changed[at] = (changed[at] as number) ^ (1 << (at % 8));
    writeFileSync(join(directory, "checkpoint"), changed);
    await expect(fresh()).rejects.toMatchObject({ reason: "log_open_failed" });
  }
});

test("a log with a changed byte does not open", async () => {
  const directory = lay(killed.files);
  const changed = Buffer.from(killed.files.get(segment) as Buffer);
  changed[(killed.batchEnds[0] as number) + 100] = 7;
  writeFileSync(join(directory, segment), changed);
  const opening = openEmbeddedLog({ directory });
  await expect(opening).rejects.toMatchObject({ reason: "log_open_failed", details: { cause: "corrupt" } });
});

test("after a clean end nothing may be cut off: an end that is missing is damage", async () => {
  const directory = join(scratchDirectory(), "data");
  const log = await openEmbeddedLog({ directory });
  await log.append({ events: events("a", 3) });
  await log.close();
  truncateSync(join(directory, segment), statSync(join(directory, segment)).size - 1);
  await expect(openEmbeddedLog({ directory })).rejects.toMatchObject({ details: { cause: "corrupt" } });
});
