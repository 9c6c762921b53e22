import { expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { readHeader, recordKey } from "../../../src/runtime/jobs/record.ts";
import { ServersInMemory } from "./servers.ts";
import { eventsOfJob, getJob, said, startJob } from "./support.ts";

const ran = ["queued", "running", "execute", "execute_complete", "succeeded"];

test("a job that another server has taken over is not started by the one that had it, whose start was on its way", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  await servers.turn();
  // No place is free at the other server: what it takes over waits there.
  for (let i = 0; i < 2; i++) await servers.submit(b, "work");
  const id = await servers.submitUnheard(a, {});
  a.log.mute(true);
  await servers.lose();
  expect(getJob(a.runtime, id).state).toBe(JobState.QUEUED);
  a.log.mute(false);
  await servers.turn();
  expect(getJob(b.runtime, id).state).toBe(JobState.QUEUED);
  b.calls[0]?.finish();
  await servers.turn();
  expect([a, b].map(({ calls }) => calls.some(({ job }) => job.id === id))).toEqual([false, true]);
  b.calls.at(-1)?.finish();
  await servers.turn();
  expect(said(await eventsOfJob(b.runtime, id))).toEqual(ran);
  expect([a, b].map(({ runtime }) => runtime.jobsHeld.running)).toEqual([0, 1]);
  expect(servers.faults).toEqual([]);
});

test.each([
  ["runs", {}],
  ["waits", { deferred: true }],
])(
  "a job that %s stays with a server which is there again before another one has taken the job over",
  async (_, options) => {
    const servers = new ServersInMemory();
    const [a, b] = [servers.start(), servers.start()];
    const someone = servers.stream.open();
    const id = await servers.submit(a, "work", options);
    const { state } = getJob(a.runtime, id);
    // What the other one does about it is on its way while the server that was found lost says that it is there.
    b.log.mute(true);
    const { owner } = readHeader(someone.state(recordKey(id)) as Uint8Array);
    await Promise.all([someone.append({ events: [], state: new Map([[`server/${owner}`, null]]) }), servers.turn()]);
    expect(b.log.outgoing).toHaveLength(1);
    b.log.mute(false);
    await servers.turn();
    expect(getJob(b.runtime, id).state).toBe(state);
    const started = startJob(b.runtime, id);
    await servers.turn();
    await started;
    expect([a, b].map(({ calls }) => calls.length)).toEqual([1, 0]);
    a.calls[0]?.finish();
    await servers.turn();
    expect(said(await eventsOfJob(b.runtime, id))).toEqual(ran);
    expect(servers.faults).toEqual([]);
  },
);
