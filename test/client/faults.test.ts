import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/base/clock.ts";
import { type NodeWatchOptions, type WatchStatus, watch } from "../../src/client/index.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { eventually } from "../support/until.ts";
import { numbers, ScriptedLog, startScriptedServer } from "./scripted-server.ts";

const versions = ["1.1", "2"] as const;
const atOnce = { random: () => 0 };

describe.each(versions)("over HTTP/%s", (httpVersion) => {
  const http2 = httpVersion === "2";

  it("gives every event once though the connection is cut 5 times during the replay, in the middle of frames", async () => {
    const log = new ScriptedLog();
    log.add(20_000, "x".repeat(50));
    const server = await startScriptedServer({
      watch: (request, context) => log.follow(request, context, 100),
      http2,
    });
    const proxy = await startTcpProxy(server.port);
    const seen: number[] = [];
    let cuts = 0;
    proxy.cutAfter(200_001);
    for await (const event of watch({
      baseUrl: proxy.url,
      httpVersion,
      backoff: atOnce,
      onStatus(status) {
        if (status.kind === "reconnecting" && ++cuts < 5) proxy.cutAfter(200_001 + cuts * 7_777);
      },
    })) {
      seen.push(Number(event.sequence));
      if (seen.length === 20_000) break;
    }
    expect(seen).toEqual(numbers(20_000));
    expect(cuts).toBe(5);
    expect(server.requests).toHaveLength(6);
    // Each one asks for what the others did not bring, or a client that filters what it has would pass too.
    const starts = server.requests.map((request) => log.startOf(request));
    expect(starts[0]).toBe(0);
    expect(starts.every((start, i) => i === 0 || start > (starts[i - 1] as number))).toBe(true);
  });

  it("notices a silent death by missed heartbeats, and comes back over a new connection", async () => {
    const clock = new ManualClock();
    const log = new ScriptedLog();
    log.add(3);
    const server = await startScriptedServer({
      watch: (request, context) => log.follow(request, context, 10, 2_000),
      http2,
    });
    const proxy = await startTcpProxy(server.port);
    const statuses: WatchStatus[] = [];
    const watched = watch({
      baseUrl: proxy.url,
      httpVersion,
      clock,
      backoff: atOnce,
      onStatus: (status) => statuses.push(status),
    });
    const events = watched[Symbol.asyncIterator]();
    for (const number of numbers(3)) expect((await events.next()).value?.sequence).toBe(BigInt(number));
    const next = events.next();
    await eventually(() => expect(clock.pending).toBe(1));

    proxy.blackhole();
    log.add(2);
    clock.advance(4_900);
    expect(statuses.filter((status) => status.kind === "reconnecting")).toEqual([]);
    clock.advance(200);
    expect(statuses.at(-1)).toMatchObject({ kind: "reconnecting", attempt: 1, error: { reason: "connection_failed" } });

    // The dead connection stays as it is: only a new one gets through.
    const before = proxy.accepted;
    proxy.heal();
    clock.advance(1);
    expect((await next).value?.sequence).toBe(4n);
    expect((await events.next()).value?.sequence).toBe(5n);
    expect(proxy.accepted).toBe(before + 1);
    await watched.close();
  });

  it("gives up on a server that takes the connection and never answers", async () => {
    const clock = new ManualClock();
    const log = new ScriptedLog();
    log.add(1);
    const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context), http2 });
    const proxy = await startTcpProxy(server.port);
    proxy.blackhole();
    const statuses: WatchStatus[] = [];
    const watched = watch({
      baseUrl: proxy.url,
      httpVersion,
      clock,
      connectTimeoutMs: 3_000,
      backoff: atOnce,
      onStatus: (status) => statuses.push(status),
    });
    const next = watched[Symbol.asyncIterator]().next();
    await eventually(() => expect(proxy.accepted).toBe(1));
    clock.advance(2_999);
    expect(statuses).toEqual([]);
    clock.advance(1);
    expect(statuses).toMatchObject([
      { kind: "reconnecting", attempt: 1, error: { details: { code: "deadline_exceeded" } } },
    ]);
    proxy.heal();
    clock.advance(1);
    expect((await next).value?.sequence).toBe(1n);
    await watched.close();
  });

  it("comes back to a server that was killed and restarted, with what was published meanwhile", async () => {
    const clock = new ManualClock();
    const log = new ScriptedLog();
    log.add(10);
    const services = {
      watch: (request, context) => log.follow(request, context, 4),
      http2,
    } satisfies Parameters<typeof startScriptedServer>[0];
    const first = await startScriptedServer(services);
    const proxy = await startTcpProxy(first.port);
    const attempts: number[] = [];
    const watched = watch({
      baseUrl: proxy.url,
      httpVersion,
      clock,
      backoff: { initialMs: 100, maxMs: 10_000, random: () => 0.5 },
      onStatus: (status) => status.kind === "reconnecting" && attempts.push(status.delayMs),
    });
    const events = watched[Symbol.asyncIterator]();
    const seen: bigint[] = [];
    const takeOne = async () => {
      const { value } = await events.next();
      if (value !== undefined) seen.push(value.sequence);
    };
    for (let i = 0; i < 10; i++) await takeOne();

    const next = takeOne();
    await first.kill();
    log.add(5);
    for (let attempt = 1; attempt <= 4; attempt++) {
      await eventually(() => expect(attempts).toHaveLength(attempt));
      if (attempt === 4) proxy.target((await startScriptedServer(services)).port);
      clock.advance(attempts[attempt - 1] as number);
    }
    await next;
    for (let i = 0; i < 4; i++) await takeOne();
    expect(seen.map(Number)).toEqual(numbers(15));
    expect(attempts).toEqual([50, 100, 200, 400]);
    await watched.close();
  });

  it("leaves nothing open when it is closed", async () => {
    const log = new ScriptedLog();
    log.add(1);
    const clock = new ManualClock();
    const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context), http2 });
    const proxy = await startTcpProxy(server.port);
    const watched = watch({ baseUrl: proxy.url, httpVersion, clock });
    const events = watched[Symbol.asyncIterator]();
    await events.next();
    const next = events.next();
    await watched.close();
    expect((await next).done).toBe(true);
    expect(clock.pending).toBe(0);
    await eventually(() => expect(proxy.open).toBe(0));
  });
});

describe("a slow consumer", () => {
  it("does not make the connection look dead, and loses nothing", async () => {
    const clock = new ManualClock();
    const log = new ScriptedLog();
    log.add(400, "x".repeat(20_000));
    const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context, 4, 1_000) });
    const statuses: string[] = [];
    const seen: number[] = [];
    for await (const event of watch({
      baseUrl: server.url,
      clock,
      backoff: atOnce,
      onStatus: (status) => statuses.push(status.kind),
    })) {
      seen.push(Number(event.sequence));
      // Once all that there is room for was read: an hour for one event.
      if (seen.length === 40) {
        await eventually(() => {
          clock.advance(50);
          expect(clock.pending).toBe(0);
        });
        clock.advance(3_600_000);
      }
      if (seen.length === 400) break;
    }
    expect(seen).toEqual(numbers(400));
    expect(statuses.filter((kind) => kind === "reconnecting")).toEqual([]);
    expect(server.requests).toHaveLength(1);
  });
});

describe("sequences", () => {
  async function statusesAndEvents(
    options: Partial<NodeWatchOptions>,
    script: Parameters<typeof startScriptedServer>[0],
  ) {
    const server = await startScriptedServer(script);
    const statuses: WatchStatus[] = [];
    const seen: number[] = [];
    const controller = new AbortController();
    const watched = watch({
      baseUrl: server.url,
      backoff: atOnce,
      signal: controller.signal,
      onStatus(status) {
        statuses.push(status);
        if (status.kind === "bookmark") controller.abort();
      },
      ...options,
    });
    for await (const event of watched) seen.push(Number(event.sequence));
    return { seen, statuses, server };
  }

  it("are let through once, whatever a relay repeats", async () => {
    const log = new ScriptedLog();
    log.add(9);
    const { seen } = await statusesAndEvents(
      {},
      {
        async *watch(_request, _context, attempt) {
          yield log.opened(0);
          yield log.batch(0, 5);
          // The second time it begins again at the beginning, in other batches.
          if (attempt === 1) return;
          yield log.batch(3, 4);
          yield log.batch(2, 7);
          yield { case: "bookmark", value: { cursor: log.cursor(9) } };
        },
      },
    );
    expect(seen).toEqual(numbers(9));
  });

  it("begin anew with another generation of the log", async () => {
    const before = new ScriptedLog(1n);
    before.add(5);
    const after = new ScriptedLog(2n);
    after.add(3);
    const { seen } = await statusesAndEvents(
      { onExpired: "continue_with_gap" },
      {
        async *watch(_request, _context, attempt) {
          const log = attempt === 1 ? before : after;
          yield log.opened(0);
          yield log.batch(0, 5);
          if (attempt === 2) yield { case: "bookmark", value: { cursor: log.cursor(3) } };
        },
      },
    );
    expect(seen).toEqual([1, 2, 3, 4, 5, 1, 2, 3]);
  });

  it("of workers are checked on request, and a hole is reported", async () => {
    const log = new ScriptedLog();
    log.add(9);
    const { seen, statuses } = await statusesAndEvents(
      { verifyWorkerSequence: true },
      {
        async *watch() {
          yield log.opened(0);
          yield log.batch(0, 3);
          yield log.batch(5, 4);
          yield { case: "bookmark", value: { cursor: log.cursor(9) } };
        },
      },
    );
    expect(seen).toEqual([1, 2, 3, 6, 7, 8, 9]);
    expect(statuses.filter((status) => status.kind === "sequence_hole")).toEqual([
      { kind: "sequence_hole", workerId: "w", expected: 4n, received: 6n },
    ]);
  });
});
