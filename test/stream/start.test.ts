import { expect, test } from "vitest";
import { CursorCodec, origin } from "../../src/events/cursor.ts";
import { Epochs } from "../../src/events/epochs.ts";
import type { EventLog, ScopeBounds } from "../../src/log/contract.ts";
import { requirePosition, resolveStart } from "../../src/stream/start.ts";

const scope = { kind: "runtime" } as const;

/** A server that has folded three events, and asks the log's leader for more: another one has written five by then. */
function serverBehind() {
  const epochs = new Epochs();
  epochs.begin(0, "one");
  let head = 3;
  const log = {
    isShared: true,
    epochs,
    bounds: (): ScopeBounds => ({ floor: origin, head: { ...origin, sequence: head, ordinal: head } }),
    reach: async (sequence: number) => {
      if (head === 3) epochs.begin(3, "two");
      head = 8;
      return sequence <= head;
    },
  };
  return { log: log as unknown as EventLog, cursors: new CursorCodec("r", 1n, epochs) };
}

/** The cursor of a position after events of writers, by the sequence after which each began. */
function startAt(sequence: number, beginnings: Record<string, number>) {
  const epochs = new Epochs();
  for (const [writer, after] of Object.entries(beginnings)) epochs.begin(after, writer);
  const codec = new CursorCodec("r", 1n, epochs);
  const cursor = codec.encode({ ...origin, sequence, ordinal: sequence });
  return { kind: "cursor" as const, cursor, otherGeneration: false, ...codec.decode(cursor) };
}

const known = { one: 0, two: 3 };
const rows = [
  ["one that it has folded", 2, known, undefined],
  ["one of another server, in an epoch that it has not heard of", 5, known, undefined],
  ["the newest there is", 8, known, undefined],
  ["before everything", 0, known, undefined],
  ["one beyond the head, where the log was", 9, known, "beyond_head"],
  ["one of an epoch that the log never had", 5, { one: 0, lost: 3 }, "other_history"],
  ["one that was lost beyond the head", 9, { one: 0, lost: 3 }, "other_history"],
  ["one of an epoch that ended before it, when the log was put back", 5, { one: 0 }, "other_history"],
] as const;

test.each(rows)("a server that is behind is asked for %s", async (_, sequence, beginnings, cause) => {
  const start = startAt(sequence, beginnings);
  const spec = { scope, kinds: undefined, start, waitIfMissing: false };
  const resume = (continueWithGap: boolean) => {
    const { log, cursors } = serverBehind();
    return resolveStart(log, cursors, { ...spec, continueWithGap });
  };
  const { log, cursors } = serverBehind();
  const required = requirePosition(log, cursors, scope, start);
  if (cause === undefined) {
    await required;
    expect(await resume(false)).toEqual({ position: start.position, gap: undefined });
    expect(await resume(true)).toEqual({ position: start.position, gap: undefined });
    return;
  }
  const refused = expect.objectContaining({ reason: "cursor_unknown", details: { cause } });
  await expect(required).rejects.toEqual(refused);
  await expect(resume(false)).rejects.toEqual(refused);
  const { position, gap } = await resume(true);
  expect(position).toEqual(origin);
  expect(gap?.reason).toMatchObject({ case: "gap", value: { fromCursor: "", lostEvents: 0n, lostExact: false } });
  expect(gap?.message).toMatch(/how many events are missing is not known/);
});
