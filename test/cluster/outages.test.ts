import { expect, test } from "vitest";
import { Severity } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import { PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { limits } from "../../src/base/limits.ts";
import { connectHttp1 } from "../conformance/edges/connect.ts";
import { edges } from "../conformance/edges/index.ts";
import { RpcFailure } from "../conformance/edges/rpc.ts";
import { resumeFrom, type Viewer, view } from "../conformance/viewer.ts";
import type { Direction } from "../support/open-tcp-proxy.ts";
import { eventually, until } from "../support/until.ts";
import { countingServers } from "./support/counting.ts";
import type { Counts } from "./support/counts.ts";
import { numberOf } from "./support/ledger.ts";
import { Scene } from "./support/scene.ts";
import type { Server } from "./support/server.ts";
import { startCluster } from "./support/start-cluster.ts";

/** Milliseconds for which the outages of this file last. What takes a minute is in the soak. */
const outageMs = 8_000;
const pauseMs = 20_000;

/** Bytes that a server may take while it can write nothing, whatever it is asked to. */
const roomBytes = 256 * 1024 * 1024;

/** Calls that are refused before a server is asked what it counts: what each of them left behind would show. */
const refusals = 1_000;

/** What may come on top while nothing can be written, however many calls were refused: it is of the log, and of each watch. */
const moreTimers = 100;
const moreHandles = 100;

/** Probes of a log whose writes fail wait for their answers beside whatever else is on its way. */
const probes = 32;

let countsOf: ReturnType<typeof countingServers>;

const passed = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Publishes an event of 16 KiB to one server, and gives how it was refused; undefined: it was not. */
async function publish(server: Server): Promise<RpcFailure | undefined> {
  const client = connectHttp1.client(server.url);
  const payload = { case: "custom" as const, value: { type: "load", data: Buffer.alloc(16 * 1024) } };
  try {
    await client.unary(PublisherService.method.publishEvents, { events: [{ workerId: "flood", payload }] });
    return undefined;
  } catch (error) {
    if (!(error instanceof RpcFailure)) throw error;
    return error;
  } finally {
    client.close();
  }
}

interface Flood {
  /** Calls that were refused so far. */
  readonly refused: number;
  /** Gives the refusals, by reason. */
  stop(): Promise<Map<string, number>>;
}

/** Publishes as fast as a server answers, many at once, until it is stopped. */
function flood(server: Server): Flood {
  const reasons = new Map<string, number>();
  let refused = 0;
  let stopped = false;
  const run = async (): Promise<void> => {
    while (!stopped) {
      const refusal = await publish(server);
      const reason = refusal === undefined ? "none" : `${refusal.code} ${refusal.detail?.reason.case}`;
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      if (refusal !== undefined) refused++;
      await passed(20);
    }
  };
  const running = Promise.all(Array.from({ length: 50 }, run));
  return {
    get refused() {
      return refused;
    },
    async stop() {
      stopped = true;
      await running;
      return reasons;
    },
  };
}

/** Lets a flood be refused often enough, ends it, and checks that a server which can't write holds no more for that. */
async function nothingGrew({ pid, name }: Server, before: Counts, ofServer: Flood): Promise<Map<string, number>> {
  await until(() => ofServer.refused >= refusals, `${name} to refuse ${refusals} calls`);
  const reasons = await ofServer.stop();
  // What was on its way when the flood ended is over within some seconds.
  await eventually(async () => {
    const { most, now, timers, handles, unsentBytes, warnings } = await countsOf(pid as number);
    expect(most.appendBytes).toBeLessThanOrEqual(limits.maxPendingAppendBytes + limits.urgentAppendBytes);
    expect(most.groupsInFlight).toBeLessThanOrEqual(limits.natsGroupsInFlight + probes);
    expect(most.bytesInFlight).toBeLessThanOrEqual(limits.natsBytesInFlight + limits.natsMessageBytes);
    expect(now.appendBytes).toBeLessThanOrEqual(limits.urgentAppendBytes);
    expect(now.groupsInFlight).toBeLessThanOrEqual(probes);
    expect(timers).toBeLessThanOrEqual(before.timers + moreTimers);
    expect(handles).toBeLessThanOrEqual(before.handles + moreHandles);
    expect(unsentBytes).toBeLessThanOrEqual(limits.maxFrameBytes);
    expect(warnings).toEqual(before.warnings);
  });
  return reasons;
}

/** Watches of one server over every edge, which stay with it. */
async function stayingWith(server: Server): Promise<Viewer[]> {
  return Promise.all(edges.map((edge) => view(edge, server.url, { start: { case: "last", value: 1 } }).live()));
}

/** Reads each on to its notice that the log is away. */
async function hearOf(viewers: readonly Viewer[]): Promise<void> {
  const heard = await Promise.all(viewers.map((viewer) => viewer.diagnostic("logUnavailable")));
  expect(heard.map(({ severity }) => severity)).toEqual(heard.map(() => Severity.NOTICE));
}

/**
 * Reads on to the newest event that was published: each watch where it was or, if the outage took so long on this machine that
 * it was ended, from the cursor that it was given. Nothing may be missing in between, or come twice.
 */
async function goOn(viewers: readonly Viewer[], scene: Scene): Promise<void> {
  await scene.more(50);
  const { sequences } = [...scene.ledger.lanes.values()][0] as { sequences: readonly number[] };
  const newest = sequences.at(-1) as number;
  for (const viewer of viewers) {
    const events = [...(await upTo(viewer, newest))];
    if (viewer.terminal !== undefined) {
      expect(viewer.terminal.reason.case).toBe("logUnavailable");
      events.push(
        ...(await upTo(view(connectHttp1, scene.cluster.urls[0] as string, resumeFrom(viewer.cursor)), newest)),
      );
    }
    viewer.leave();
    const numbers = new Map<string, number>();
    for (const event of events) {
      const number = numberOf(event);
      if (number === undefined) continue;
      expect(number).toBe((numbers.get(event.workerId) ?? number - 1) + 1);
      numbers.set(event.workerId, number);
    }
    expect(Number(events.at(-1)?.sequence)).toBeGreaterThanOrEqual(newest);
  }
}

/** Reads on until an event was read, or to the end. */
async function upTo(viewer: Viewer, sequence: number): Promise<readonly Event[]> {
  while (Number(viewer.events.at(-1)?.sequence ?? 0) < sequence && (await viewer.next()) !== undefined);
  return viewer.events;
}

/** Whether a server says over HTTP why it is not ready. */
async function saysWhy(server: Server): Promise<void> {
  await eventually(async () => {
    const readiness = await server.readiness();
    expect(readiness?.status).toBe(503);
    expect(readiness?.body).toContain("log_unavailable");
  });
}

async function standStill(): Promise<void> {
  const scene = new Scene(await startCluster({ servers: 2 }));
  await scene.more(100);
  const gaps = await scene.gapsOf(async () => {
    const leader = await eventually(() => scene.cluster.leader());
    leader.pause();
    await passed(pauseMs);
    leader.resume();
  });
  console.log(`milliseconds without service while the leader stands still: ${JSON.stringify(gaps)}`);
  expect(await scene.verdict()).toEqual([]);
}

/** `direction`: what is lost between one server and NATS. Default: everything. */
async function partition(scene: Scene, direction?: Direction): Promise<void> {
  const [apart, other] = scene.cluster.servers as [Server, Server];
  const viewers = await stayingWith(apart);
  const before = apart.memory as number;
  const counted = await countsOf(apart.pid as number);
  apart.loseNats(direction);
  const flooding = flood(apart);
  await Promise.all([hearOf(viewers), saysWhy(apart)]);
  await scene.more(100);
  expect((await other.readiness())?.status).toBe(200);
  const refusal = await publish(apart);
  expect([refusal?.code, refusal?.detail?.reason.case]).toEqual(["unavailable", "logUnavailable"]);
  expect(apart.memory as number).toBeLessThan(before + roomBytes);
  const reasons = await nothingGrew(apart, counted, flooding);
  reasons.delete("none");
  expect([...reasons.keys()]).toEqual(["unavailable logUnavailable"]);
  apart.healNats();
  await goOn(viewers, scene);
  await scene.served();
}

async function allGone(scene: Scene): Promise<void> {
  const { servers, nats } = scene.cluster;
  const viewers = (await Promise.all(servers.map(stayingWith))).flat();
  const before = servers.map(({ memory }) => memory as number);
  const counted = await Promise.all(servers.map(({ pid }) => countsOf(pid as number)));
  await Promise.all(nats.map((node) => node.kill()));
  const floods = servers.map(flood);
  await Promise.all([hearOf(viewers), ...servers.map(saysWhy)]);
  await passed(outageMs);
  for (const [index, { memory }] of servers.entries()) {
    expect(memory as number).toBeLessThan((before[index] as number) + roomBytes);
  }
  for (const [index, server] of servers.entries()) {
    const reasons = await nothingGrew(server, counted[index] as Counts, floods[index] as Flood);
    expect([...reasons.keys()]).toEqual(["unavailable logUnavailable"]);
  }
  await Promise.all(nats.map((node) => node.start()));
  await goOn(viewers, scene);
  await scene.served();
}

async function losses(): Promise<void> {
  const scene = new Scene(await startCluster({ servers: 2 }));
  await scene.more(100);
  await partition(scene);
  await partition(scene, "to client");
  await allGone(scene);
  expect(await scene.verdict()).toEqual([]);
  expect(scene.cluster.servers.map(({ endedByItself }) => endedByItself)).toEqual([[], []]);
  const first = scene.watchers.flatMap(({ outages }) => outages.slice(0, 1));
  expect(first.length).toBeGreaterThan(0);
  expect(first.map(({ severity }) => severity)).toEqual(first.map(() => Severity.NOTICE));
}

test("while NATS stands still, can't be reached or is gone publishers and watchers are told, and nothing is lost", {
  timeout: 900_000,
}, async () => {
  countsOf = countingServers();
  // Each waits most of the time, and has a cluster of its own.
  await Promise.all([standStill(), losses()]);
});
