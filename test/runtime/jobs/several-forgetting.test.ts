import { expect, test } from "vitest";
import type { AppendBatch } from "../../../src/log/contract.ts";
import { type ServerInMemory, ServersInMemory } from "./servers.ts";
import { listJobs } from "./support.ts";

/** The jobs that a server has asked the log to forget. */
function forgottenBy({ log }: ServerInMemory): string[] {
  const forgotten: string[] = [];
  const append = log.append.bind(log);
  log.append = (batch: AppendBatch) => {
    forgotten.push(...(batch.forgetJobs ?? []));
    return append(batch);
  };
  return forgotten;
}

async function run(servers: ServersInMemory, server: ServerInMemory, key: string): Promise<string> {
  const id = await servers.submit(server, "work", { idempotencyKey: key });
  server.calls.at(-1)?.finish();
  await servers.turn();
  return id;
}

const memoryMs = 60_000;
const options = { concurrency: 2 };

test("one server forgets what is old, and all have forgotten it", async () => {
  const servers = new ServersInMemory(options, { memoryMs });
  const [a, b] = [servers.start(), servers.start()];
  b.log.takeOver();
  const forgotten = [forgottenBy(a), forgottenBy(b)];
  const jobs = [await run(servers, a, "k1"), await run(servers, b, "k2"), await run(servers, a, "k3")];
  await servers.advance(memoryMs + 3_000);
  expect(forgotten[0]).toEqual([]);
  expect(forgotten[1]).toEqual(jobs);
  for (const { runtime, log } of [a, b]) {
    expect(runtime.jobsHeld).toMatchObject({ jobs: 0, running: 0 });
    expect([...log.stateEntries("job")]).toEqual([]);
  }
  // The keys are free at both.
  expect(jobs).not.toContain(await run(servers, a, "k2"));
  // Whoever is the keeper next goes on.
  a.log.takeOver();
  await servers.advance(memoryMs + 3_000);
  expect(forgotten[0]).toHaveLength(1);
  expect(b.runtime.jobsHeld.jobs).toBe(0);
  expect(servers.faults).toEqual([]);
});

test("servers that make room at once forget the same jobs once, and as many as they must", async () => {
  const servers = new ServersInMemory(options, { maxJobs: 4 });
  const [a, b] = [servers.start(), servers.start()];
  const jobs: string[] = [];
  for (let i = 0; i < 4; i++) jobs.push(await run(servers, i % 2 === 0 ? a : b, `k${i}`));
  const both = Promise.all([a, b].map(({ runtime }) => runtime.submit("work", {}, { deferred: true })));
  await servers.turn();
  const made = (await both).map(({ jobId }) => jobId);
  for (const { runtime, log } of [a, b]) {
    const left = listJobs(runtime).jobs.map(({ jobId }) => jobId);
    expect(new Set(left)).toEqual(new Set([...jobs.slice(1), ...made]));
    expect([...log.stateEntries("job-key/")]).toHaveLength(3);
  }
  // The next ones make the rest of the room.
  for (let i = 0; i < 40; i++) await run(servers, i % 2 === 0 ? a : b, "");
  for (const { runtime } of [a, b]) {
    expect(runtime.jobsHeld.jobs).toBe(4);
    expect(runtime.jobsHeld.places).toBeLessThan(200);
  }
  expect(servers.faults).toEqual([]);
});

test.each([
  ["ahead", 10 * memoryMs, 0],
  ["behind", 0, 10 * memoryMs],
])(
  "what is old is so by the log's time, also where the clock of whoever forgets it is %s",
  async (_, aheadMs, behindMs) => {
    const servers = new ServersInMemory(options, { memoryMs });
    const [a, b] = [servers.start(), servers.start()];
    b.log.takeOver();
    await servers.turn();
    // A clock that is behind is one that all others are ahead of.
    b.clock.advance(aheadMs);
    for (const clock of [servers.clock, a.clock]) clock.advance(behindMs);
    const forgotten = forgottenBy(b);
    const first = [await run(servers, a, "k1"), await run(servers, b, "k2")];
    await servers.advance(memoryMs / 2);
    const second = [await run(servers, a, "k3"), await run(servers, b, "k4")];
    await servers.advance(memoryMs / 2 - 6_000);
    expect(forgotten).toEqual([]);
    await servers.advance(12_000);
    expect(forgotten).toEqual(first);
    await servers.advance(memoryMs / 2 - 12_000);
    expect(forgotten).toEqual(first);
    await servers.advance(12_000);
    expect(forgotten).toEqual([...first, ...second]);
  },
);
