import { describe, expect, onTestFinished, test } from "vitest";
import { createWorkers, followTranscript, type Transcript, type TranscriptStatus } from "../../src/client/index.ts";
import { decodeEvents } from "../../src/events/stored.ts";
import { foldTranscript } from "../../src/events/transcript/fold.ts";
import { emptyTranscript, type TranscriptState } from "../../src/events/transcript/state.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { conversation, take } from "../runtime/transcripts/support.ts";
import { serve } from "../support/serving.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";

const backoff = { initialMs: 1, maxMs: 5 };

/** The transcript after each event that changed it, folded from the first event on, by its last change. */
function truthOf(runtime: Runtime, workerId = "w") {
  let newest = emptyTranscript();
  const states = new Map<string, TranscriptState>();
  runtime.log.subscribe((block) => {
    for (const event of decodeEvents(block, runtime.cursors)) {
      if (event.workerId !== workerId) continue;
      newest = foldTranscript(newest, event);
      states.set(event.cursor, newest);
    }
  });
  return { newest: () => newest, at: (cursor: string) => states.get(cursor) };
}

function plain(
  state: Pick<Transcript | TranscriptState, "commands" | "droppedEntries"> & { entries: Iterable<unknown> },
) {
  return { entries: [...state.entries], commands: state.commands, dropped: state.droppedEntries };
}

describe("a transcript that is followed", () => {
  test("is true after each event, over connections that are cut in the middle of frames", async () => {
    const { runtime, server } = await serve();
    const proxy = await startTcpProxy(Number(new URL(server.url).port));
    const truth = truthOf(runtime);
    const events = conversation("w");
    await runtime.publish(take(events, 8));
    const statuses: TranscriptStatus["kind"][] = [];
    const follow = followTranscript({
      baseUrl: proxy.url,
      workerId: "w",
      backoff,
      onStatus: ({ kind }) => statuses.push(kind),
    });
    const total = 300;
    let written = 8;
    let steps = 0;
    for await (const transcript of follow) {
      expect(plain(transcript)).toEqual(plain(truth.at(transcript.cursor) as TranscriptState));
      steps++;
      if (steps % 10 === 0) proxy.cutAfter(50);
      if (written < total) {
        await runtime.publish(take(events, 3));
        written += 3;
      } else if (transcript.entries.length === truth.newest().entries.length && isNewest(transcript, truth.newest())) {
        break;
      }
    }
    expect(steps).toBeGreaterThan(200);
    expect(statuses).toContain("reconnecting");
  });

  test("says what changed, and shares the rest with the transcript before", async () => {
    const { runtime, server } = await serve();
    const say = (offset: number, text: string) =>
      runtime.publish([{ workerId: "w", payload: { case: "textDelta", value: { offset: BigInt(offset), text } } }]);
    await runtime.publish(take(conversation("w"), 1));
    await say(0, "one");
    const follow = followTranscript({ baseUrl: server.url, workerId: "w" });
    const transcripts = follow[Symbol.asyncIterator]();
    const first = (await transcripts.next()).value as Transcript;
    expect([first.reset, first.changed.length, first.entries.length]).toEqual([true, 2, 2]);
    await say(3, " two");
    const second = (await transcripts.next()).value as Transcript;
    expect(second.changed.map(({ entryNumber, isFinal }) => [Number(entryNumber), isFinal])).toEqual([[2, false]]);
    expect([second.reset, second.entry(1) === first.entry(1)]).toEqual([false, true]);
    expect(second.entry(2)?.content.value).toMatchObject({ text: "one two" });
    // The same piece again changes nothing: the next transcript is that of the rewind.
    await say(3, " two");
    await runtime.publish([{ workerId: "w", payload: { case: "rewindApplied", value: { targetId: "m0" } } }]);
    const third = (await transcripts.next()).value as Transcript;
    expect([third.reset, third.entries.map(({ content }) => content.case)]).toEqual([true, ["rewindApplied"]]);
    await follow.close();
    expect(await transcripts.next()).toEqual({ value: undefined, done: true });
  });

  test("begins before its worker if told to wait, and ends with it", async () => {
    const { runtime, server } = await serve();
    const refused = followTranscript({ baseUrl: server.url, workerId: "w" });
    await expect(refused[Symbol.asyncIterator]().next()).rejects.toMatchObject({ reason: "worker_not_found" });
    const follow = followTranscript({ baseUrl: server.url, workerId: "w", ifMissing: "wait" });
    const seen: Transcript[] = [];
    for await (const transcript of follow) {
      seen.push(transcript);
      if (seen.length === 1) {
        expect(transcript.entries).toEqual([]);
        await runtime.publish(take(conversation("w"), 8));
        await runtime.worker("w").end({ outcome: 1 });
      }
    }
    expect(follow.outcome).toMatchObject({ case: "worker", value: { outcome: 1 } });
    // The end leaves nothing in flight.
    expect(seen.at(-1)?.entries.every(({ isFinal }) => isFinal)).toBe(true);
    expect(seen.at(-1)?.entries.length).toBe(3);
  });

  test("is read again when the position it was at is gone, and is true then too", async () => {
    const { runtime, log, server } = await serve({ retention: { workerEvents: 10 } });
    const proxy = await startTcpProxy(Number(new URL(server.url).port));
    const truth = truthOf(runtime);
    const events = conversation("w");
    await runtime.publish(take(events, 8));
    const statuses: TranscriptStatus["kind"][] = [];
    const follow = followTranscript({
      baseUrl: proxy.url,
      workerId: "w",
      backoff,
      onStatus: ({ kind }) => statuses.push(kind),
    });
    let steps = 0;
    for await (const transcript of follow.batches()) {
      steps++;
      if (statuses.includes("reread")) {
        expect(plain(transcript)).toEqual(plain(truth.newest()));
        expect([transcript.reset, transcript.changed.length]).toEqual([true, transcript.entries.length]);
        break;
      }
      if (steps > 1) continue;
      proxy.refuse();
      proxy.cut();
      for (let n = 0; n < 20; n++) await runtime.publish(take(events, 5));
      await until(() => log.worker("w")?.retainedEvents === 10, "retention to go on");
      proxy.heal();
    }
    expect(steps).toBeGreaterThan(1);
  });

  test("ends without an error when its signal aborts, also while it waits to try again", async () => {
    const { server } = await serve();
    const proxy = await startTcpProxy(Number(new URL(server.url).port));
    proxy.refuse();
    const stop = new AbortController();
    let tries = 0;
    const follow = followTranscript({
      baseUrl: proxy.url,
      workerId: "w",
      signal: stop.signal,
      backoff: { initialMs: 1, maxMs: 60_000, random: () => 0.99 },
      onStatus: () => {
        if (++tries === 3) setImmediate(() => stop.abort());
      },
    });
    expect(await follow[Symbol.asyncIterator]().next()).toEqual({ value: undefined, done: true });
    expect(tries).toBe(3);
  });
});

describe("a transcript that is polled", () => {
  test("is not sent again while it is still true", async () => {
    const { runtime, server } = await serve();
    const proxy = await startTcpProxy(Number(new URL(server.url).port));
    const workers = createWorkers({ baseUrl: proxy.url });
    onTestFinished(() => workers.close());
    const big = {
      workerId: "w",
      payload: { case: "systemItem" as const, value: { json: `"${"x".repeat(100_000)}"` } },
    };
    await runtime.publish([big]);
    const first = await workers.transcript("w");
    expect(first.entries.length).toBe(1);
    const before = proxy.bytesToClient;
    const { cursor } = await runtime.publish([{ workerId: "w", payload: { case: "usage", value: {} } }]);
    const same = await workers.transcript("w", { known: first });
    expect(same.entries).toEqual(first.entries);
    expect(same.cursor).toBe(cursor);
    expect(proxy.bytesToClient - before).toBeLessThan(10_000);
    await runtime.publish([big]);
    expect((await workers.transcript("w", { known: same })).entries.length).toBe(2);
    await expect(workers.transcript("nobody")).rejects.toMatchObject({ reason: "worker_not_found" });
  });

  test("in many pages, while it changes, is of one instant", async () => {
    const { runtime, server } = await serve();
    const truth = truthOf(runtime);
    const workers = createWorkers({ baseUrl: server.url });
    onTestFinished(() => workers.close());
    const fill = Array.from({ length: 30 }, (_, n) => ({
      workerId: "w",
      payload: {
        case: "textDelta" as const,
        value: { blockId: `long ${n}`, offset: 0n, text: `${n}${"x".repeat(100_000)}` },
      },
    }));
    await runtime.publish(fill.slice(0, 4));
    for (const event of fill.slice(4)) await runtime.publish([event]);
    let writing = true;
    const lengths = new Map<string, number>();
    const writer = (async () => {
      for (let n = 0; writing; n++) {
        const blockId = `long ${(n * 7) % 30}`;
        const offset = lengths.get(blockId) ?? 100_000;
        lengths.set(blockId, offset + 4);
        // Blocks on pages that were read already, and on those that are still to come.
        await runtime.publish([
          { workerId: "w", payload: { case: "textDelta", value: { blockId, offset: BigInt(offset), text: "more" } } },
        ]);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let n = 0; n < 20; n++) {
      const transcript = await workers.transcript("w");
      expect(transcript.entries.length).toBe(30);
      expect(plain(transcript)).toEqual(plain(truth.at(transcript.cursor) as TranscriptState));
    }
    writing = false;
    await writer;
  });
});

function isNewest(transcript: Transcript, newest: TranscriptState): boolean {
  return [...newest.entries].every(
    ({ entryNumber, revision }) => transcript.entry(Number(entryNumber))?.revision === revision,
  );
}
