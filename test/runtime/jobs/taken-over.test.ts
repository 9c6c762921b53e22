import { expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { limits } from "../../../src/base/limits.ts";
import { readHeader, recordKey } from "../../../src/runtime/jobs/record.ts";
import { type ServerInMemory, ServersInMemory } from "./servers.ts";
import { eventsOfJob, getJob, said, settled, startJob } from "./support.ts";

/** Lets everyone hear that somebody found a server lost. */
async function findLost(servers: ServersInMemory, ownerOf: string): Promise<void> {
  const someone = servers.stream.open();
  const { owner } = readHeader(someone.state(recordKey(ownerOf)) as Uint8Array);
  await Promise.all([someone.append({ events: [], state: new Map([[`server/${owner}`, null]]) }), servers.turn()]);
}

/** Lets a server beat, and holds what follows from that. */
async function beatAlone({ clock, log }: ServerInMemory): Promise<void> {
  clock.advance(limits.serverPresenceMs);
  await settled();
  log.deliver();
  log.mute(true);
  await settled();
}

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
    const id = await servers.submit(a, "work", options);
    const { state } = getJob(a.runtime, id);
    // What the other one does about it is on its way while the server that was found lost says that it is there.
    b.log.mute(true);
    await findLost(servers, id);
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

test("a job that several servers take over is the one's that was first", async () => {
  const servers = new ServersInMemory();
  const [a, b, c] = [servers.start(), servers.start(), servers.start()];
  const id = await servers.submit(a, "work", { deferred: true });
  c.log.mute(true);
  a.crash();
  await findLost(servers, id);
  expect(c.log.outgoing).toHaveLength(1);
  c.log.mute(false);
  await servers.turn();
  const started = startJob(c.runtime, id);
  await servers.turn();
  await started;
  expect([b, c].map(({ calls }) => calls.length)).toEqual([1, 0]);
});

test("a job that waited at a server which was taken for lost leaves its place there", async () => {
  const servers = new ServersInMemory({ concurrency: 2, queueDepth: 1 });
  const [a, b] = [servers.start(), servers.start()];
  const id = await servers.submit(a, "work", { deferred: true });
  // It says again that it is there, but too late.
  a.log.mute(true);
  await findLost(servers, id);
  a.log.mute(false);
  await servers.turn();
  expect(await servers.submit(a, "work", { deferred: true })).not.toBe(id);
  await expect(b.runtime.submit("work", {}, { deferred: true })).rejects.toMatchObject({ reason: "limit_exceeded" });
});

test("a job that is submitted where a server was just taken for lost runs there", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const other = await servers.submit(a, "work", { deferred: true });
  a.log.mute(true);
  const submitted = a.runtime.submit("work", {});
  await settled();
  await findLost(servers, other);
  // The job is on its way before anything that says that its server is there again.
  a.log.send();
  await servers.turn();
  b.clock.advance(limits.serverPresenceMs);
  await servers.turn();
  a.log.mute(false);
  await servers.turn();
  const { jobId } = await submitted;
  expect([a, b].map(({ calls }) => calls.map(({ job }) => job.id))).toEqual([[jobId], []]);
});

test("a server that is heard again while another one has it dropped as lost is not dropped", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const id = await servers.submit(a, "work");
  await servers.advance(limits.serverPresenceMs);
  a.pause();
  await servers.advance((limits.serverLostBeats - 2) * limits.serverPresenceMs);
  for (let beats = 0; b.log.outgoing.length === 0 && beats < 3; beats++) {
    b.log.mute(false);
    await beatAlone(b);
  }
  expect(b.log.outgoing).toHaveLength(1);
  a.resume();
  a.clock.advance(limits.serverPresenceMs);
  await servers.turn();
  b.log.mute(false);
  await servers.turn();
  expect(getJob(b.runtime, id).state).toBe(JobState.RUNNING);
  a.calls[0]?.finish();
  await servers.turn();
  expect(said(await eventsOfJob(b.runtime, id))).toEqual(ran);
});

test("a server that ends a job of another one takes nothing more of the job from then on", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const id = await servers.submit(a, "work");
  await servers.turn();
  a.crash();
  b.log.mute(true);
  await findLost(servers, id);
  expect(b.log.outgoing).toHaveLength(1);
  const publish = () => b.runtime.publish([{ jobId: id, payload: { case: "progress", value: { done: 1 } } }]);
  await expect(publish()).rejects.toMatchObject({ reason: "job_ended" });
  b.log.mute(false);
  await servers.turn();
  await expect(publish()).rejects.toMatchObject({ reason: "job_ended" });
  expect(said(await eventsOfJob(b.runtime, id)).at(-1)).toBe("failed");
});
