import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { crc32 } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { TailraceError } from "../../../src/base/errors.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { events, readAll, texts } from "../harness.ts";

/** What opening fails with. The message is for the operator: it names the place and says what to do. */
async function refusal(directory: string): Promise<TailraceError<"log_open_failed">> {
  const error = await openEmbeddedLog({ directory }).then(
    (log) => log.close().then(() => new Error("it was opened")),
    (error) => error,
  );
  expect(error).toBeInstanceOf(TailraceError);
  expect(error.reason).toBe("log_open_failed");
  expect(error.message).toContain(directory);
  return error;
}

async function smallLog(directory: string): Promise<void> {
  const log = await openEmbeddedLog({ directory });
  await log.append({ events: events("a", 3) });
  await log.close();
}

test("a log that is open already is refused, in this process and from another, until that is killed", async () => {
  const directory = join(scratchDirectory(), "data");
  const log = await openEmbeddedLog({ directory });
  expect((await refusal(directory)).details.cause).toBe("locked");
  await log.close();

  const source = new URL("../../../src/log/embedded/index.ts", import.meta.url).href;
  const program = `const { openEmbeddedLog } = await import(${JSON.stringify(source)});
    await openEmbeddedLog({ directory: process.argv[1] });
    console.log("open");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program, directory], {
    stdio: ["ignore", "pipe", 2],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout as Readable, "data");
  const error = await refusal(directory);
  expect(error.details.cause).toBe("locked");
  expect(error.message).toMatch(/open already/);
  child.kill("SIGKILL");
  await once(child, "exit");
  await (await openEmbeddedLog({ directory })).close();
});

test("a directory that holds something else, and a file, are no log", async () => {
  const directory = scratchDirectory();
  writeFileSync(join(directory, "thesis.txt"), "precious");
  const error = await refusal(directory);
  expect(error.details.cause).toBe("not_a_log");
  expect(error.message).toContain("thesis.txt");
  const file = join(directory, "thesis.txt");
  expect((await refusal(file)).details.cause).toBe("not_a_log");
  expect(readFileSync(file, "utf8")).toBe("precious");
});

test("a newer format is refused by every file that has one", async () => {
  for (const [file, change] of [
    ["identity", (bytes: Buffer) => Buffer.from(bytes.toString().replace('"format":1', '"format":2'))],
    ["log/0000000001.segment", (bytes: Buffer) => bytes.fill(2, 4, 5)],
  ] as const) {
    const directory = join(scratchDirectory(), "data");
    await smallLog(directory);
    writeFileSync(join(directory, file), change(readFileSync(join(directory, file))));
    const error = await refusal(directory);
    expect(error.details.cause).toBe("newer_format");
    expect(error.message).toMatch(/format 2; this release reads up to 1/);
  }
});

test("an identity that is missing is not made up", async () => {
  const directory = join(scratchDirectory(), "data");
  await smallLog(directory);
  rmSync(join(directory, "identity"));
  expect((await refusal(directory)).details.cause).toBe("corrupt");
});

test("a segment that is missing is noticed", async () => {
  const directory = join(scratchDirectory(), "data");
  const log = await openEmbeddedLog({
    directory,
    retention: { bytes: 64 * 1024 * 1024, workerBytes: 64 * 1024 * 1024 },
  });
  const body = new Uint8Array(1000).fill(65);
  for (let i = 0; i < 8; i++) {
    await log.append({ events: Array.from({ length: 500 }, () => ({ workerId: "a", jobId: "", kind: 40, body })) });
  }
  await log.close();
  const segments = readdirSync(join(directory, "log")).filter((name) => name.endsWith(".segment"));
  expect(segments.length).toBeGreaterThan(2);
  const lost = join(directory, "log", segments[1] as string);
  renameSync(lost, join(directory, "elsewhere"));
  expect((await refusal(directory)).details.cause).toBe("corrupt");
  renameSync(join(directory, "elsewhere"), lost);
  await (await openEmbeddedLog({ directory })).close();
});

test("a first opening that was cut short leaves a directory that opens", async () => {
  const directory = join(scratchDirectory(), "data");
  mkdirSync(join(directory, "log"), { recursive: true });
  writeFileSync(join(directory, "identity.tmp"), "half");
  writeFileSync(join(directory, "lock.db"), "");
  await smallLog(directory);
  const log = await openEmbeddedLog({ directory });
  expect(texts(await readAll(log))).toEqual(["a:1", "a:2", "a:3"]);
  await log.close();
});

test("an id that is not the log's is refused, and the log keeps its own", async () => {
  const directory = join(scratchDirectory(), "data");
  const first = await openEmbeddedLog({ directory, runtimeId: "mine" });
  expect(first.identity.runtimeId).toBe("mine");
  await first.close();
  await expect(openEmbeddedLog({ directory, runtimeId: "yours" })).rejects.toMatchObject({
    reason: "invalid_request",
    details: { field: "runtimeId" },
  });
  const again = await openEmbeddedLog({ directory });
  expect(again.identity).toEqual(first.identity);
  await again.close();
});

test("a copy of the directory, and segments restored from before, are new generations", async () => {
  const base = scratchDirectory();
  const directory = join(base, "data");
  await smallLog(directory);
  cpSync(join(directory, "log"), join(base, "backup"), { recursive: true });
  cpSync(directory, join(base, "copy"), { recursive: true });

  const log = await openEmbeddedLog({ directory });
  const { last } = await log.append({ events: events("a", 5, 4) });
  await log.close();
  const copy = await openEmbeddedLog({ directory: join(base, "copy") });
  expect(copy.identity.generation).not.toBe(log.identity.generation);
  expect(await readAll(copy)).toHaveLength(3);
  await copy.close();

  rmSync(join(directory, "log"), { recursive: true });
  renameSync(join(base, "backup"), join(directory, "log"));
  const restored = await openEmbeddedLog({ directory });
  expect(restored.identity.generation).not.toBe(log.identity.generation);
  expect(restored.identity.runtimeId).toBe(log.identity.runtimeId);
  const next = await restored.append({ events: events("a", 1) });
  expect(next.firstSequence).toBeGreaterThan(last.sequence);
  await restored.close();
});

test("without a sync, an unclean end before another boot is a new generation; before the same boot it is not", async () => {
  for (const [durability, otherBoot, keeps] of [
    ["process", true, false],
    ["process", false, true],
    ["fsync", true, true],
  ] as const) {
    const base = scratchDirectory();
    const directory = join(base, "data");
    const log = await openEmbeddedLog({ directory, durability });
    await log.append({ events: events("a", 3) });
    // The files as a killed process leaves them.
    const identity = readFileSync(join(directory, "identity"), "utf8");
    await log.close();
    writeFileSync(join(directory, "identity"), otherBoot ? onOtherBoot(identity) : identity);
    const again = await openEmbeddedLog({ directory, durability });
    expect(again.identity.generation === log.identity.generation).toBe(keeps);
    expect(await readAll(again)).toHaveLength(3);
    // Nobody knows which sequences were given out, so all that were reserved are skipped; ordinals have no holes.
    const { firstSequence, last } = await again.append({ events: events("a", 1, 4) });
    expect(firstSequence).toBeGreaterThan(1_000_000);
    expect(last).toMatchObject({ ordinal: 4, workerOrdinal: 4 });
    expect(texts(await readAll(again, { maxEvents: 2 }))).toEqual(["a:1", "a:2", "a:3", "a:4"]);
    await again.close();
  }
});

function onOtherBoot(identity: string): string {
  const json = (identity.split("\n")[0] as string).replace(/"bootId":"[^"]*"/, '"bootId":"another"');
  return `${json}\n${crcOf(json)}\n`;
}

function crcOf(text: string): string {
  return crc32(text).toString(16).padStart(8, "0");
}

test("a directory that can't be made is said at once, also where the system is odd about it", async () => {
  // Linux says ENOENT for a new entry of /proc, though /proc is there.
  const directory = process.platform === "linux" ? "/proc/tailrace-data" : "/dev/null/tailrace-data";
  await refusal(directory);
});
