import { describe, expect, test } from "vitest";
import { limits } from "../../../src/base/limits.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import { conversation, getTranscript, shown, stateOf, take } from "../transcripts/support.ts";
import { type Server, serversOf } from "./servers.ts";

const textOf = (workerId: string, n: number, length: number) => ({
  workerId,
  payload: { case: "systemItem" as const, value: { json: `"${n}${"x".repeat(length)}"` } },
});

describe("transcripts", () => {
  test("are kept by the keeper alone, and by the next one when it is gone, from where it stopped", async () => {
    const { servers, clock, done, stream } = await serversOf(3, { retention: { workerEvents: 4 } });
    const talk = conversation("a");
    const kept = (server: Server) => server.log.state("transcript/a");
    const held = (server: Server) => Number(server.log.worker("a")?.retainedEvents);
    await done(servers[1].runtime.publish(take(talk, 1)));
    await done(servers[2].runtime.publish(take(talk, 30)));
    expect(held(servers[1])).toBeGreaterThan(4);
    clock.advance(limits.transcriptKeepMs);
    await stream.until();
    const before = kept(servers[2]);
    expect(before).toBeDefined();
    for (const server of servers) expect(held(server)).toBe(4);
    servers[0].kill();
    await done(servers[1].runtime.publish(take(talk, 30)));
    clock.advance(10 * limits.transcriptKeepMs);
    await stream.until();
    // Nobody keeps them, and nothing is let go of.
    expect(kept(servers[2])).toEqual(before);
    expect(held(servers[2])).toBeGreaterThan(4);
    const whole = shown(stateOf(await getTranscript(servers[1].runtime, "a")));
    servers[2].log.takeOver();
    await stream.until();
    clock.advance(limits.transcriptKeepMs);
    await stream.until();
    for (const server of servers.slice(1)) {
      expect(kept(server)).not.toEqual(before);
      expect(held(server)).toBe(4);
      expect(shown(stateOf(await getTranscript(server.runtime, "a")))).toEqual(whole);
    }
  });

  test("go on from what was kept meanwhile at a server that starts slower than retention goes on", async () => {
    const { servers, clock, done, stream } = await serversOf(2, { retention: { workerEvents: 4 } });
    const talk = conversation("a");
    for (const count of [1, 20, 9]) {
      await done(servers[1].runtime.publish(take(talk, count)));
      clock.advance(limits.transcriptKeepMs);
      await stream.until();
    }
    await done(servers[1].runtime.publish(take(talk, 20)));
    const log = stream.open();
    const read = log.read.bind(log);
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    let reads = 0;
    // What it found first is of before the rest was said, and what it looks for then is gone.
    log.read = async (request) => {
      const page = await read({ ...request, maxEvents: 3 });
      if (reads++ === 1) await released;
      return page;
    };
    const runtime = new Runtime({ log, clock });
    await stream.until();
    await done(servers[1].runtime.publish(take(talk, 30)));
    clock.advance(limits.transcriptKeepMs);
    await stream.until();
    expect(log.worker("a")).toMatchObject({ retainedEvents: 4 });
    release();
    const late = await done(getTranscript(runtime, "a"));
    expect(reads).toBeGreaterThanOrEqual(2);
    expect(shown(stateOf(late))).toEqual(shown(stateOf(await getTranscript(servers[0].runtime, "a"))));
  });

  test("are let go of in memory at every server once one has kept them", async () => {
    const memoryBytes = 50_000;
    const { servers, clock, done, stream } = await serversOf(2, { transcripts: { memoryBytes } });
    const ids = Array.from({ length: 40 }, (_, i) => `w${i}`);
    for (const id of ids) await done(servers[1].runtime.publish(take(conversation(id), 13)));
    clock.advance(limits.transcriptKeepMs);
    await stream.until();
    for (const { runtime } of servers) {
      expect(runtime.transcripts.bytes).toBeLessThanOrEqual(memoryBytes);
      expect(runtime.transcripts.count).toBeLessThan(ids.length);
    }
    for (const id of ids) {
      const [one, other] = await Promise.all(servers.slice(0, 2).map(({ runtime }) => getTranscript(runtime, id)));
      expect(other).toEqual(one);
    }
  });

  test("that the keeper cuts because it keeps too much are cut at every server, and at the next one that starts", async () => {
    const { servers, clock, done, stream, open } = await serversOf(2, { transcripts: { keptBytes: 30_000 } });
    for (let worker = 0; worker < 20; worker++) {
      await done(servers[1].runtime.publish(Array.from({ length: 4 }, (_, n) => textOf(`w${worker}`, n, 1_000))));
      // Some go on while they are cut.
      if (worker % 3 === 0) void servers[0].runtime.publish([textOf(`w${worker >> 1}`, 9, 10)]);
      clock.advance(limits.transcriptKeepMs);
    }
    await stream.until();
    for (let round = 0; round < 5; round++) {
      clock.advance(limits.transcriptKeepMs);
      await stream.until();
    }
    const sizes = [...servers[1].log.stateEntries("transcript/")].map(([, bytes]) => bytes.length);
    expect(sizes.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(30_000);
    const last = open();
    await stream.until();
    let cut = 0;
    for (let worker = 0; worker < 20; worker++) {
      const answers = [servers[0], servers[1], last].map(({ runtime }) => done(getTranscript(runtime, `w${worker}`)));
      const [one, ...others] = await Promise.all(answers);
      if ((one?.droppedEntries ?? 0n) > 0n) cut++;
      // The last one has said since that it started, and the cursor says where all that is included ends.
      for (const other of others) expect(shown(stateOf(other))).toEqual(shown(stateOf(one as typeof other)));
    }
    expect(cut).toBeGreaterThan(5);
  });
});
