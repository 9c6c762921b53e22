import { describe, expect, it } from "vitest";
import { type Event, EventKind } from "../../gen/tailrace/v1/event_pb.ts";
import { IfMissing, OnExpired, StartAt } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { hasReason } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { type NodeWatchOptions, type Watch, type WatchStatus, watch } from "../../src/client/index.ts";
import { eventually, until } from "../support/until.ts";
import { numbers, ScriptedLog, silence, startScriptedServer } from "./scripted-server.ts";

async function take(watched: Watch, count: number): Promise<number[]> {
  const sequences: number[] = [];
  for await (const event of watched) {
    sequences.push(Number(event.sequence));
    if (sequences.length === count) break;
  }
  return sequences;
}

describe("watching", () => {
  it("gives the events that are there and those that come, in order", async () => {
    const log = new ScriptedLog();
    log.add(25);
    const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context) });
    const seen: number[] = [];
    for await (const event of watch({ baseUrl: server.url })) {
      seen.push(Number(event.sequence));
      if (seen.length === 25) log.add(5);
      if (seen.length === 30) break;
    }
    expect(seen).toEqual(numbers(30));
    expect(server.requests).toHaveLength(1);
  });

  it("gives the same events in batches, each with the cursor after it", async () => {
    const log = new ScriptedLog();
    log.add(25);
    const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context) });
    const sizes: number[] = [];
    for await (const batch of watch({ baseUrl: server.url }).batches()) {
      sizes.push(batch.events.length);
      expect(batch.cursor).toBe((batch.events.at(-1) as Event).cursor);
      expect(batch.runtimeId).toBe("runtime");
      if (sizes.length === 3) break;
    }
    expect(sizes).toEqual([10, 10, 5]);
  });

  it("counts an event as done only when the next one is asked for", async () => {
    const log = new ScriptedLog();
    log.add(25);
    const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context) });
    const watched = watch({ baseUrl: server.url, cursor: log.cursor(2) });
    expect(watched.cursor).toBeUndefined();
    for await (const event of watched) {
      expect(watched.cursor).toBe(log.cursor(Number(event.sequence) - 1));
      if (event.sequence === 17n) break;
    }
    expect(watched.cursor).toBe(log.cursor(16));
  });

  it("keeps the order for a consumer that asks for several events at once", async () => {
    const log = new ScriptedLog();
    log.add(12);
    const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context, 5) });
    const events = watch({ baseUrl: server.url })[Symbol.asyncIterator]();
    const first = await Promise.all(numbers(7).map(() => events.next()));
    const second = await Promise.all(numbers(5).map(() => events.next()));
    expect([...first, ...second].map((result) => Number((result.value as Event).sequence))).toEqual(numbers(12));
    await events.return?.();
  });

  it("moves its cursor with bookmarks, but never past an event in hand", async () => {
    const log = new ScriptedLog();
    log.add(3);
    const server = await startScriptedServer({
      async *watch(_request, context) {
        yield log.opened(0);
        yield log.batch(0, 3);
        yield { case: "bookmark", value: { cursor: log.cursor(50) } };
        yield { case: "bookmark", value: { cursor: log.cursor(60), lagEvents: 4n } };
        await silence(context);
      },
    });
    const statuses: WatchStatus[] = [];
    const watched = watch({ baseUrl: server.url, onStatus: (status) => statuses.push(status) });
    const events = watched[Symbol.asyncIterator]();
    for (let i = 0; i < 3; i++) await events.next();
    expect(watched.cursor).toBe(log.cursor(2));
    const next = events.next();
    await eventually(() => expect(watched.cursor).toBe(log.cursor(60)));
    expect(statuses.at(-1)).toMatchObject({ kind: "bookmark", lagEvents: 4 });
    await watched.close();
    expect(await next).toEqual({ value: undefined, done: true });
  });

  it("reads ahead only so far", async () => {
    const log = new ScriptedLog();
    log.add(1, "x".repeat(200_000));
    let frames = 0;
    const server = await startScriptedServer({
      async *watch() {
        yield log.opened(0);
        for (; frames < 1_000; frames++) yield log.batch(0, 1);
      },
    });
    const watched = watch({ baseUrl: server.url });
    const batches = watched.batches();
    await batches.next();
    await until(() => frames > limits.watchReadAheadFrames, "the read-ahead");
    // Sockets take some megabytes; then nothing moves any more, however long the consumer takes.
    for (let before = -1; before !== frames; await new Promise((resolve) => setTimeout(resolve, 500))) before = frames;
    // Of 200 MB.
    expect(frames).toBeLessThan(500);
    await watched.close();
  });
});

describe("leaving", () => {
  async function following(options: Partial<NodeWatchOptions> = {}) {
    const log = new ScriptedLog();
    log.add(3);
    let left = false;
    const server = await startScriptedServer({
      async *watch(request, context) {
        context.signal.addEventListener("abort", () => {
          left = true;
        });
        yield* log.follow(request, context);
      },
    });
    return { watched: watch({ baseUrl: server.url, ...options }), server, left: () => left };
  }

  it("ends the stream when the loop is left", async () => {
    const { watched, left } = await following();
    expect(await take(watched, 2)).toEqual([1, 2]);
    await eventually(() => expect(left()).toBe(true));
  });

  it("ends the iteration without an error when the signal aborts, also while it waits", async () => {
    const controller = new AbortController();
    const { watched, left } = await following({ signal: controller.signal });
    const seen: number[] = [];
    for await (const event of watched) {
      seen.push(Number(event.sequence));
      if (seen.length === 3) setTimeout(() => controller.abort(), 20);
    }
    expect(seen).toEqual([1, 2, 3]);
    await eventually(() => expect(left()).toBe(true));
  });

  it("does not connect at all when the signal is aborted already", async () => {
    const { watched, server } = await following({ signal: AbortSignal.abort() });
    expect(await take(watched, 1)).toEqual([]);
    expect(server.requests).toHaveLength(0);
  });

  it("lets go of what was read ahead when it is closed", async () => {
    const { watched } = await following();
    const batches = watched.batches();
    await batches.next();
    await watched.close();
    expect(await batches.next()).toEqual({ value: undefined, done: true });
  });

  it("can be iterated once", async () => {
    const { watched } = await following();
    await take(watched, 1);
    expect(() => watched.batches()).toThrow(/only once/);
  });

  it("brings what onStatus throws to the consumer", async () => {
    const { watched } = await following({
      onStatus() {
        throw new RangeError("mine");
      },
    });
    await expect(take(watched, 1)).rejects.toThrow(new RangeError("mine"));
  });
});

describe("asking", () => {
  it("says in the request what the options say", async () => {
    const log = new ScriptedLog();
    const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context) });
    const ask = async (options: Partial<NodeWatchOptions>) => {
      const controller = new AbortController();
      const count = server.requests.length;
      const watched = watch({
        baseUrl: server.url,
        signal: controller.signal,
        onStatus: () => controller.abort(),
        ...options,
      });
      await take(watched, 1);
      return server.requests[count];
    };
    expect(await ask({})).toMatchObject({
      workerIds: [],
      start: { case: "startAt", value: StartAt.EARLIEST },
      onExpired: OnExpired.FAIL,
      ifMissing: IfMissing.FAIL,
    });
    expect(
      await ask({
        workerIds: ["a", "b"],
        last: 7,
        kinds: ["output", EventKind.NARRATION],
        onExpired: "continue_with_gap",
        ifMissing: "wait",
        heartbeatMs: 2_500,
      }),
    ).toMatchObject({
      workerIds: ["a", "b"],
      start: { case: "last", value: 7 },
      kinds: [EventKind.OUTPUT, EventKind.NARRATION],
      onExpired: OnExpired.CONTINUE_WITH_GAP,
      ifMissing: IfMissing.WAIT,
      heartbeatInterval: { seconds: 2n, nanos: 500_000_000 },
    });
    expect(await ask({ startAt: "latest", jobId: "j" })).toMatchObject({
      jobId: "j",
      start: { case: "startAt", value: StartAt.LATEST },
    });
    expect(await ask({ since: new Date(1_500) })).toMatchObject({
      start: { case: "since", value: { seconds: 1n, nanos: 500_000_000 } },
    });
  });

  it("sends the token, asked for anew with every call", async () => {
    const log = new ScriptedLog();
    const tokens: (string | null)[] = [];
    const server = await startScriptedServer({
      async *watch(request, context) {
        tokens.push(context.requestHeader.get("authorization"));
        yield log.opened(log.startOf(request));
      },
    });
    let token = 0;
    const controller = new AbortController();
    const watched = watch({
      baseUrl: server.url,
      token: async () => `t${++token}`,
      signal: controller.signal,
      backoff: { random: () => 0 },
      onStatus: () => tokens.length === 2 && controller.abort(),
    });
    await take(watched, 1);
    expect(tokens).toEqual(["Bearer t1", "Bearer t2"]);
  });

  it.each<[string, NodeWatchOptions]>([
    ["baseUrl", {}],
    ["baseUrl", { baseUrl: "127.0.0.1:7433" }],
    ["baseUrl", { baseUrl: "ftp://x" }],
    ["cursor", { baseUrl: "http://x", cursor: "" }],
    ["last", { baseUrl: "http://x", cursor: "c", last: 1 }],
    ["last", { baseUrl: "http://x", last: 0 }],
    ["last", { baseUrl: "http://x", last: 10_001 }],
    ["since", { baseUrl: "http://x", since: new Date("never") }],
    ["jobId", { baseUrl: "http://x", workerIds: ["w"], jobId: "j" }],
    ["kinds[1]", { baseUrl: "http://x", kinds: ["output", "outptu"] }],
    ["heartbeatMs", { baseUrl: "http://x", heartbeatMs: Number.NaN }],
    ["verifyWorkerSequence", { baseUrl: "http://x", verifyWorkerSequence: true, kinds: ["output"] }],
    ["verifyWorkerSequence", { baseUrl: "http://x", verifyWorkerSequence: true, jobId: "j" }],
    ["backoff.maxAttempts", { baseUrl: "http://x", backoff: { maxAttempts: 0 } }],
  ])("refuses options that make no sense, and names %s", (field, options) => {
    let thrown: unknown;
    try {
      watch(options);
    } catch (error) {
      thrown = error;
    }
    expect(hasReason(thrown, "invalid_request") && thrown.details.field).toBe(field);
  });
});
