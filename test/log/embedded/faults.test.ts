import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hasReason } from "../../../src/base/errors.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { event, events, readAll, runtimeScope, seenOf, texts, workers } from "../harness.ts";
import { hookedFileSystem, systemError } from "./hooked-file-system.ts";

const segment = "0000000001.segment";

test("a full disk refuses appends, loses nothing, and is over when there is room again", async () => {
  const directory = join(scratchDirectory(), "data");
  let isFull = false;
  const fileSystem = hookedFileSystem((operation, name) => {
    if (isFull && operation === "write" && name === segment) throw systemError("ENOSPC");
  });
  const log = await openEmbeddedLog({ directory, fileSystem, retention: { workerEvents: 4 } });
  const told: string[] = [];
  log.subscribe((block) => told.push(...texts(seenOf(block))));
  await log.append({ events: events("a", 4) });
  const before = { bounds: log.bounds(workers("a")), worker: log.worker("a"), events: await readAll(log) };
  const size = statSync(join(directory, "log", segment)).size;

  isFull = true;
  const refusals = await Promise.all(
    [events("a", 3, 5), [event("new", "x")]].map((batch) => log.append({ events: batch }).catch((error) => error)),
  );
  for (const refusal of refusals) {
    expect(hasReason(refusal, "limit_exceeded") && refusal.details).toMatchObject({ limit: "storage" });
    expect(refusal.message).not.toContain(directory);
  }
  expect(log.health()).toMatchObject({ available: false, error: { reason: "limit_exceeded" } });
  expect({ bounds: log.bounds(workers("a")), worker: log.worker("a"), events: await readAll(log) }).toEqual(before);
  expect(log.worker("new")).toBeUndefined();
  expect([...log.workers()]).toHaveLength(1);
  expect(statSync(join(directory, "log", segment)).size).toBe(size);

  isFull = false;
  const { last } = await log.append({ events: [event("new", "y"), event("a", "a:5")] });
  expect(last).toMatchObject({ ordinal: 6, workerOrdinal: 5 });
  expect(log.health()).toEqual({ available: true });
  expect(told).toEqual(["a:1", "a:2", "a:3", "a:4", "y", "a:5"]);
  await log.close();
  const again = await openEmbeddedLog({ directory });
  expect(texts(await readAll(again))).toEqual(["a:2", "a:3", "a:4", "y", "a:5"]);
  await again.close();
});

test("a failed sync is the end of this log: what was on its way is not acknowledged, and reading goes on being refused", async () => {
  const directory = join(scratchDirectory(), "data");
  let fails = false;
  const fileSystem = hookedFileSystem((operation) => {
    if (fails && operation === "datasync") throw systemError("EIO");
  });
  const log = await openEmbeddedLog({ directory, fileSystem });
  await log.append({ events: events("a", 2) });
  fails = true;
  const told: string[] = [];
  log.subscribe((block) => told.push(...texts(seenOf(block))));
  const refused = await Promise.all(
    [1, 2].map(() => log.append({ events: events("a", 1, 3) }).catch((error) => error)),
  );
  fails = false;
  refused.push(await log.append({ events: events("a", 1, 3) }).catch((error) => error));
  for (const error of refused) {
    expect(hasReason(error, "log_unavailable")).toBe(true);
    expect(error.message).not.toContain(directory);
  }
  expect(told).toEqual([]);
  expect(log.health()).toMatchObject({ available: false, error: { reason: "log_unavailable" } });
  expect(log.bounds(runtimeScope).head.ordinal).toBe(2);
  await log.close();
  // It was no clean end, so the sequences of what may or may not be there are not given out again.
  const again = await openEmbeddedLog({ directory });
  expect((await readAll(again)).slice(0, 2).map((one) => one.text)).toEqual(["a:1", "a:2"]);
  expect((await again.append({ events: events("a", 1, 9) })).firstSequence).toBeGreaterThan(1_000_000);
  await again.close();
});

test("a write that fails for another reason than room, or that can't be taken back, is the end too", async () => {
  for (const failing of ["write", "truncate"]) {
    const directory = join(scratchDirectory(), "data");
    let fails = false;
    const fileSystem = hookedFileSystem((operation) => {
      if (fails && operation === failing) throw systemError("EIO");
      if (fails && operation === "write") throw systemError("ENOSPC");
    });
    const log = await openEmbeddedLog({ directory, fileSystem });
    await log.append({ events: events("a", 2) });
    fails = true;
    await expect(log.append({ events: events("a", 1) })).rejects.toMatchObject({ reason: "log_unavailable" });
    fails = false;
    await expect(log.append({ events: events("a", 1) })).rejects.toMatchObject({ reason: "log_unavailable" });
    await log.close();
    const again = await openEmbeddedLog({ directory });
    expect(texts(await readAll(again))).toEqual(["a:1", "a:2"]);
    await again.close();
  }
});

test("a page that can't be read is refused, and the next one may work", async () => {
  const directory = join(scratchDirectory(), "data");
  let fails = false;
  const fileSystem = hookedFileSystem((operation) => {
    if (fails && operation === "read") throw systemError("EIO");
  });
  const log = await openEmbeddedLog({ directory, fileSystem });
  await log.append({ events: events("a", 2) });
  fails = true;
  await expect(readAll(log)).rejects.toMatchObject({ reason: "log_unavailable" });
  fails = false;
  expect(await readAll(log)).toHaveLength(2);
  await log.close();
});

test("a commit is not acknowledged, and not told, before it is on disk", async () => {
  const directory = join(scratchDirectory(), "data");
  let letGo: (() => void) | undefined;
  let holds = false;
  const fileSystem = hookedFileSystem((operation) => {
    if (holds && operation === "datasync") return new Promise<void>((resolve) => (letGo = resolve));
    return undefined;
  });
  const log = await openEmbeddedLog({ directory, fileSystem });
  const told: string[] = [];
  let isSettled = false;
  log.subscribe((block) => told.push(...texts(seenOf(block))));
  holds = true;
  const appended = log.append({ events: events("a", 1) }).then(() => {
    isSettled = true;
  });
  while (letGo === undefined) await new Promise((resolve) => setImmediate(resolve));
  expect({ told, isSettled, head: log.bounds(runtimeScope).head.ordinal }).toEqual({
    told: [],
    isSettled: false,
    head: 0,
  });
  holds = false;
  letGo();
  await appended;
  expect({ told, head: log.bounds(runtimeScope).head.ordinal }).toEqual({ told: ["a:1"], head: 1 });
  await log.close();
});

test("sequences are reserved on disk before they are given out, whatever the durability", async () => {
  for (const durability of ["fsync", "process"] as const) {
    const directory = join(scratchDirectory(), "data");
    const done: string[] = [];
    const fileSystem = hookedFileSystem((operation, name) => {
      done.push(`${operation} ${name}`);
    });
    const log = await openEmbeddedLog({ directory, fileSystem, durability });
    const renamed = done.indexOf("rename identity");
    expect(done.indexOf("datasync identity.tmp")).toBeLessThan(renamed);
    const reserved = done.indexOf("syncDirectory data", renamed);
    expect(renamed).toBeGreaterThan(0);
    expect(reserved).toBeGreaterThan(renamed);
    const opened = done.length;
    await log.append({ events: events("a", 1) });
    const steps = durability === "fsync" ? [`write ${segment}`, `datasync ${segment}`] : [`write ${segment}`];
    expect(done.slice(opened)).toEqual(steps);
    await log.close();
  }
});
