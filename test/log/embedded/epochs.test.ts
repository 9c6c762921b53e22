import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { EventLog } from "../../../src/log/contract.ts";
import { nodeFileSystem } from "../../../src/log/embedded/file-system.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { events, runtimeScope } from "../harness.ts";

/** As a block device that was put back as a snapshot shows files: as old as they were. */
const fileSystem = { ...nodeFileSystem, birthTime: async () => "always" };

async function open(directory: string): Promise<EventLog> {
  const log = await openEmbeddedLog({ directory, fileSystem });
  onTestFinished(() => log.close());
  return log;
}

/** Appends events, and gives for each the tag of its epoch. */
async function append(log: EventLog, count: number): Promise<{ sequence: number; tag: number }[]> {
  const { firstSequence } = await log.append({ events: events("a", count) });
  return Array.from({ length: count }, (_, i) => firstSequence + i).map((sequence) => ({
    sequence,
    tag: log.epochs.at(sequence).tag,
  }));
}

test("a log that was put back with all that is known of it has other epochs where it goes on than what was lost", async () => {
  const directory = join(scratchDirectory(), "log");
  const backup = join(scratchDirectory(), "backup");
  const before = await open(directory);
  const kept = await append(before, 3);
  await before.close();
  // Openings after which nothing came leave no epoch behind.
  for (let i = 0; i < 3; i++) await (await open(directory)).close();
  cpSync(directory, backup, { recursive: true });
  const during = await open(directory);
  for (const { sequence, tag } of kept) expect(during.epochs.has(sequence, tag)).toBe(true);
  expect([...during.epochs.beginnings()]).toHaveLength(2);
  const lost = await append(during, 5);
  await during.close();

  rmSync(directory, { recursive: true });
  cpSync(backup, directory, { recursive: true });
  const after = await open(directory);
  expect(after.identity).toEqual(during.identity);
  const now = await append(after, 8);
  expect(now[0]?.sequence).toBe(lost[0]?.sequence);
  const known = (log: EventLog) => {
    for (const { sequence, tag } of [...kept, ...now]) expect(log.epochs.has(sequence, tag)).toBe(true);
    for (const { sequence, tag } of lost) expect(log.epochs.has(sequence, tag)).toBe(false);
  };
  known(after);
  await after.close();
  const again = await open(directory);
  known(again);
  expect(again.bounds(runtimeScope).head.sequence).toBe(now.at(-1)?.sequence);
});

test("a copy of a log begins its epochs anew, as it does its generation", async () => {
  const directory = join(scratchDirectory(), "log");
  const log = await open(directory);
  await append(log, 2);
  await log.close();
  const copy = await openEmbeddedLog({ directory });
  onTestFinished(() => copy.close());
  expect(copy.identity.generation).not.toBe(log.identity.generation);
  expect([...copy.epochs.beginnings()].map(({ after }) => after)).toEqual([2]);
});
