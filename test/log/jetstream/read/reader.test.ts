import { expect, test } from "vitest";
import { defaultRetention, limits } from "../../../../src/base/limits.ts";
import type { Scope } from "../../../../src/log/contract.ts";
import { layOut } from "../../../../src/log/index/extents.ts";
import { selectRows } from "../../../../src/log/index/selection.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { messagesOf } from "../../../../src/log/jetstream/publish/outgoing.ts";
import { MissingMessages, Reader } from "../../../../src/log/jetstream/read/reader.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { event, runtimeScope, workers } from "../../harness.ts";

interface Options {
  /** Messages that one answer has at the most. Default: as many as are asked for. */
  readonly most?: number;
  /** The newest message that the replica has which is asked first. Default: all. */
  readonly replicaHas?: number;
  /** Messages that nobody has. */
  readonly gone?: readonly number[];
}

/** A log of messages of one event and of several, and a reader that asks a source in memory for them. */
function world(messages: number, { most = Number.POSITIVE_INFINITY, replicaHas = messages, gone = [] }: Options = {}) {
  const fold = new Fold(defaultRetention, 0, 0);
  const stored: { readonly seq: number; readonly data: Uint8Array }[] = [];
  for (let seq = 1; seq <= messages; seq++) {
    const several = ["a", "b", "a"].map((workerId, i) => event(workerId, `${seq}.${i}`.padEnd(seq % 40, ".")));
    const events = seq % 3 === 0 ? several : [event(seq % 2 === 0 ? "a" : "b", String(seq))];
    const head = { writer: "w", number: seq, timeMs: 0, appends: [{ count: events.length, base: 0 }] };
    const [message] = messagesOf("n", head, events);
    const data = Uint8Array.from(message?.payload as Uint8Array);
    fold.take({ sequence: seq, timeMs: 1_700_000_000_000 + (seq >> 2), payload: data }, () => undefined);
    if (!gone.includes(seq)) stored.push({ seq, data });
  }
  const asked: { readonly seq: number; readonly batch: number }[] = [];
  const leaderAsked: number[] = [];
  const given: number[] = [];
  const find = async (until: number, seq: number) =>
    stored.find((message) => message.seq === seq && seq <= until) ?? null;
  const source = {
    direct: {
      getMessage: (_: string, { seq }: { readonly seq: number }) => {
        given.push(seq);
        return find(replicaHas, seq);
      },
      getBatch: async (_: string, question: { readonly seq: number; readonly batch: number }) => {
        asked.push(question);
        const there = stored.filter(({ seq }) => seq >= question.seq && seq <= replicaHas);
        const answer = there.slice(0, Math.min(question.batch, most));
        given.push(...answer.map(({ seq }) => seq));
        return answer;
      },
    },
    streams: {
      getMessage: (_: string, { seq }: { readonly seq: number }) => {
        leaderAsked.push(seq);
        return find(messages, seq);
      },
    },
  };
  const reader = new Reader(source, "n", fold, () => undefined);
  const read = (scope: Scope, page: { readonly after?: number; readonly maxEvents?: number } = {}) => {
    const range = { after: 0, until: Number.POSITIVE_INFINITY, maxEvents: 10_000, maxBytes: 10_000_000, ...page };
    const selection = selectRows(fold.index, { scope, kinds: undefined, ...range });
    if (selection.kind === "expired" || selection.rows === undefined) throw new Error("nothing was selected");
    return reader.fetch(layOut(selection.rows), undefined);
  };
  return { fold, read, asked, given, leaderAsked };
}

/** The bytes of the events of a page, one after the other. */
async function eventsOf(page: ReturnType<ReturnType<typeof world>["read"]>): Promise<readonly string[]> {
  const { bytes, starts, ends } = await page;
  return Array.from(starts, (start, i) => Buffer.from(bytes.subarray(start, ends[i])).toString("hex"));
}

test.each<{ what: string; options: Options; leaderGives: number }>([
  { what: "whole answers", options: {}, leaderGives: 0 },
  { what: "answers that end early", options: { most: 7 }, leaderGives: 0 },
  { what: "a replica that is behind", options: { replicaHas: 31 }, leaderGives: 19 },
  { what: "a replica that has nothing", options: { replicaHas: 0 }, leaderGives: 50 },
])("the stream gives what was kept of it: $what", async ({ options, leaderGives }) => {
  setLimit("natsReadMessages", 16);
  const { fold, read, asked, leaderAsked } = world(50, options);
  const scopes = [runtimeScope, workers("a"), workers("b")];
  const kept = [];
  for (const scope of scopes) kept.push(await eventsOf(read(scope)));
  expect(asked).toEqual([]);
  fold.recent.clear();
  for (const [i, scope] of scopes.entries()) {
    expect(await eventsOf(read(scope))).toEqual(kept[i]);
    if (i === 0) expect(leaderAsked).toHaveLength(leaderGives);
  }
  expect(Math.max(...asked.map(({ batch }) => batch))).toBe(limits.natsReadMessages);
});

test("messages that the leader has not either are named, all of them", async () => {
  setLimit("natsReadMessages", 16);
  const { fold, read } = world(50, { gone: [1, 16, 17, 30, 50] });
  fold.recent.clear();
  const error = await read(runtimeScope).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(MissingMessages);
  expect((error as MissingMessages).sequences).toEqual([1, 16, 17, 30, 50]);
});

test.each([1, 2, 4])("a message is asked for once by a reader of pages of %i events", async (maxEvents) => {
  const { fold, read, given } = world(30);
  const whole = await eventsOf(read(runtimeScope));
  const sequences: number[] = [];
  for (const chunk of fold.index.columns.chunks) sequences.push(...chunk.sequences.slice(0, chunk.length));
  fold.recent.clear();
  const paged: string[] = [];
  for (let at = 0; at < whole.length; at += maxEvents) {
    paged.push(...(await eventsOf(read(runtimeScope, { after: sequences[at - 1] ?? 0, maxEvents }))));
  }
  expect(paged).toEqual(whole);
  expect(given).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
});

test("of the messages in which pages ended only a few are kept", async () => {
  setLimit("natsBegunMessages", 2);
  const { fold, read, given } = world(30);
  const after = (seq: number) => fold.index.columns.chunks[0]?.sequences[seq + 2 * Math.floor((seq - 1) / 3) - 2] ?? 0;
  fold.recent.clear();
  for (const seq of [3, 6, 9]) await read(runtimeScope, { after: after(seq), maxEvents: 1 });
  expect(given).toEqual([3, 6, 9]);
  for (const seq of [9, 6, 3]) await read(runtimeScope, { after: after(seq), maxEvents: 1 });
  expect(given).toEqual([3, 6, 9, 3]);
});
