import { join } from "node:path";
import { expect, test } from "vitest";
import type { EventLog } from "../../../src/log/contract.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { until } from "../../support/until.ts";
import { event, job, jobEvents, readAll, runtimeScope, texts, workers } from "../harness.ts";
import { viewOf } from "../view.ts";
import { endAtEachStep } from "./each-step.ts";
import { hookedFileSystem } from "./hooked-file-system.ts";

const megabyte = 1024 * 1024;
const padding = "x".repeat(2000);
const rounds = 6;
const scopes = [
  runtimeScope,
  ...["chatty", "a", "b"].map((id) => workers(id)),
  ...["chatty", "kept", "lone", ...Array.from({ length: rounds }, (_, round) => `short${round}`)].map(job),
];

/**
 * Appends 1 MB of one job, with some events of others in between: one that is kept, one of no worker, and one of this
 * round, which the next but one forgets.
 */
async function appendMegabyte(log: EventLog, round: number): Promise<void> {
  for (let i = 0; i < 5; i++) {
    const chatty = Array.from({ length: 100 }, (_, n) => event("chatty", `${round}.${i}.${n}${padding}`, 40, "chatty"));
    const others = [
      event("chatty", `own:${round}`),
      ...jobEvents("a", "kept", 1, round),
      ...jobEvents("", "lone", 1, round),
      ...jobEvents("b", `short${round}`, 2),
      ...jobEvents("chatty", `short${round}`, 2, 3),
    ];
    if (i === 2) await log.append({ events: [...chatty, ...others], forgetJobs: [`short${round - 2}`] });
    else await log.append({ events: chatty });
  }
}

test("segments are packed with what jobs hold in them, remembered or forgotten, and a restart finds it all", async () => {
  const directory = join(scratchDirectory(), "data");
  let merged = 0;
  const fileSystem = hookedFileSystem((operation, name) => {
    if (operation === "rename" && name.endsWith(".segment")) merged++;
  });
  const retention = { bytes: 3 * megabyte };
  let log = await openEmbeddedLog({ directory, fileSystem, retention });
  // When the chatty job has given its event of this worker, nothing is left in the worker's scope.
  await log.append({ events: [...jobEvents("old", "early", 2), event("old", "x", 40, "chatty")] });
  for (let round = 0; round < 3 * rounds; round++) await appendMegabyte(log, round % rounds);
  // A slow machine may need more than that until it has come round to it.
  await until(async () => {
    await log.append({
      events: Array.from({ length: 200 }, (_, n) => event("chatty", `${n}${padding}`, 40, "chatty")),
    });
    return merged > 1;
  }, "segments to be packed");
  expect(texts(await readAll(log, { scope: job("kept"), after: 0 }))).toEqual(
    Array.from({ length: 3 * rounds }, (_, round) => `kept:${round % rounds}`),
  );
  expect(await readAll(log, { scope: job("lone"), after: 0 })).toHaveLength(3 * rounds);
  const held = await viewOf(log, scopes);
  expect(held.jobs.map((one) => one.jobId)).toEqual(["chatty", "early", "kept", "lone", "short4", "short5"]);
  for (let life = 0; life < 2; life++) {
    await log.close();
    log = await openEmbeddedLog({ directory, fileSystem, retention });
    expect(await viewOf(log, scopes)).toEqual(held);
  }
  // A worker that only a job's events name is not forgotten while they are there.
  expect(log.worker("old")).toMatchObject({ retainedEvents: 0 });
  await log.append({ events: [], forgetWorkers: ["old"] });
  expect((await readAll(log, { scope: job("early"), after: 0 })).map((one) => one.workerId)).toEqual(["old", "old"]);
  // What a forgotten job left counts against its worker, and goes with it.
  await log.append({ events: [], forgetJobs: ["short4", "kept"] });
  expect(await readAll(log, { scope: workers("a"), after: 0 })).toHaveLength(3 * rounds);
  await log.close();
});

test("jobs survive the end of the process between any two steps of giving space back", async () => {
  await endAtEachStep(async (directory, fileSystem, begin) => {
    const retention = { bytes: 2 * megabyte };
    const log = await openEmbeddedLog({ directory, fileSystem, retention });
    begin();
    for (let round = 0; round < rounds; round++) {
      // A segment that can't be begun ends the log, which is fine here: nothing acknowledged may be missing.
      const goesOn = await appendMegabyte(log, round).then(
        () => true,
        () => false,
      );
      if (!goesOn) break;
    }
    const bounds = scopes.map((scope) => log.bounds(scope));
    const records = [...log.jobs()];
    await log.close().catch(() => undefined);
    const again = await openEmbeddedLog({ directory, retention });
    expect(scopes.map((scope) => again.bounds(scope))).toEqual(bounds);
    expect(new Set(again.jobs())).toEqual(new Set(records));
    for (const { jobId, retainedEvents } of records) {
      expect(await readAll(again, { scope: job(jobId) })).toHaveLength(retainedEvents);
    }
    await appendMegabyte(again, 0);
    await again.close();
  });
});
