import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import type { EventLog } from "../../../src/log/contract.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { until } from "../../support/until.ts";
import { event, readAll, runtimeScope, texts, workers } from "../harness.ts";
import { endAtEachStep } from "./each-step.ts";
import { hookedFileSystem } from "./hooked-file-system.ts";

const megabyte = 1024 * 1024;
const padding = "x".repeat(2000);

function bytesIn(directory: string): number {
  const sizeOf = (name: string) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
  // What the log removes in the background may go between the two looks.
  return readdirSync(directory).reduce((sum, name) => sum + sizeOf(name), 0);
}

/** Appends 1 MB of a chatty worker, with an event of each quiet one in between. */
async function appendMegabyte(log: EventLog, round: number, quiet: readonly string[]): Promise<void> {
  for (let i = 0; i < 5; i++) {
    const chatty = Array.from({ length: 100 }, (_, n) => event("chatty", `${round}.${i}.${n}${padding}`));
    await log.append({ events: i === 2 ? [...chatty, ...quiet.map((id) => event(id, `${id}:${round}`))] : chatty });
  }
}

test("disk stays bounded under endless appends, and quiet workers keep all they said, also over restarts", async () => {
  const directory = join(scratchDirectory(), "data");
  const segments = join(directory, "log");
  const retention = { bytes: 4 * megabyte, events: 100_000 };
  const quiet = ["q1", "q2", "q3"];
  let log = await openEmbeddedLog({ directory, retention });
  let most = 0;
  for (let round = 0; round < 40; round++) {
    await appendMegabyte(log, round, quiet);
    most = Math.max(most, bytesIn(segments));
    if (round % 13 === 12) {
      await log.close();
      log = await openEmbeddedLog({ directory, retention });
    }
    if (round % 10 !== 9) continue;
    for (const id of quiet) {
      const expected = Array.from({ length: round + 1 }, (_, i) => `${id}:${i}`);
      expect(texts(await readAll(log, { scope: workers(id), after: 0, maxEvents: 7 }))).toEqual(expected);
    }
    const seen = await readAll(log);
    expect(seen.map((one) => one.ordinal)).toEqual(
      Array.from({ length: seen.length }, (_, i) => (seen[0]?.ordinal as number) + i),
    );
  }
  // 4 MB are retained of 40; what is beyond that is segments that wait for their turn.
  expect(most).toBeLessThan(20 * megabyte);
  await until(() => bytesIn(segments) < 8 * megabyte, "the segments that waited to go");
  await log.close();
  log = await openEmbeddedLog({ directory, retention });
  expect(texts(await readAll(log, { scope: workers("q2"), after: 0 }))).toEqual(
    Array.from({ length: 40 }, (_, i) => `q2:${i}`),
  );
  await log.close();
});

test("readers get what they asked for while segments are dropped and packed under them", async () => {
  const directory = join(scratchDirectory(), "data");
  let merged = 0;
  const fileSystem = hookedFileSystem((operation, name) => {
    if (operation === "rename" && name.endsWith(".segment")) merged++;
  });
  const log = await openEmbeddedLog({ directory, fileSystem, retention: { bytes: 3 * megabyte } });
  let isDone = false;
  const quiet = ["q1", "q2"];
  const passes = [0, 0];
  const reader = async (own: number): Promise<void> => {
    while (!isDone) {
      const expected = log.worker("q1")?.lastOrdinal ?? 0;
      const seen = await readAll(log, { scope: workers("q1"), after: 0, maxEvents: 3 });
      expect(texts(seen).slice(0, expected)).toEqual(Array.from({ length: expected }, (_, i) => `q1:${i}`));
      passes[own] = (passes[own] as number) + 1;
      // A pass that finds nothing waits for nothing, and would keep the log from getting on.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const readers = [reader(0), reader(1)];
  for (let round = 0; round < 25; round++) {
    await appendMegabyte(log, round, quiet);
    // However much faster than a pass it is: readers are under way all along.
    const before = [...passes];
    if (round % 3 === 0)
      await until(() => passes.every((count, own) => count > (before[own] as number)), "the readers");
  }
  await until(() => merged > 0, "segments to be packed");
  isDone = true;
  await Promise.all(readers);
  await log.close();
});

test("an idle log gives back what grew too old", async () => {
  const directory = join(scratchDirectory(), "data");
  const segments = join(directory, "log");
  const clock = new ManualClock();
  const log = await openEmbeddedLog({ directory, clock, retention: { bytes: 64 * megabyte, ageMs: 60_000 } });
  for (let round = 0; round < 5; round++) await appendMegabyte(log, round, ["q1"]);
  expect(bytesIn(segments)).toBeGreaterThan(4 * megabyte);
  clock.advance(120_000);
  await log.append({ events: [] });
  await until(() => bytesIn(segments) < 2 * megabyte, "the space to be given back");
  expect(log.bounds(runtimeScope).floor.ordinal).toBe(2505);
  await log.close();
});

test("a log survives the end of its process between any two steps of giving space back", async () => {
  await endAtEachStep(async (directory, fileSystem, begin) => {
    const retention = { bytes: 2 * megabyte };
    const quiet = ["q1", "q2"];
    const log = await openEmbeddedLog({ directory, fileSystem, retention });
    await appendMegabyte(log, 0, quiet);
    begin();
    let rounds = 1;
    // A segment that can't be begun ends the log, which is fine here: nothing acknowledged may be missing.
    for (let goesOn = true; goesOn && rounds < 6; rounds += goesOn ? 1 : 0) {
      goesOn = await appendMegabyte(log, rounds, quiet).then(
        () => true,
        () => false,
      );
    }
    await log.close().catch(() => undefined);
    const again = await openEmbeddedLog({ directory, retention });
    for (const id of quiet) {
      const seen = texts(await readAll(again, { scope: workers(id), after: 0 }));
      expect(seen.slice(0, rounds)).toEqual(Array.from({ length: rounds }, (_, i) => `${id}:${i}`));
    }
    await appendMegabyte(again, 9, quiet);
    await again.close();
  });
});
