import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { SharedStream } from "../../../support/shared-stream.ts";
import { event, readAll } from "../../harness.ts";

/** Whether a promise is settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const later = {};
  await nextTurn();
  return (await Promise.race([promise, Promise.resolve(later)])) !== later;
}

test("an append settles when the stream has it, before it comes back, and can be read then", async () => {
  const log = new SharedStream().open();
  const first = log.append({ events: [event("a", "1")] });
  await nextTurn();
  log.send();
  await first;
  const second = log.append({ events: [event("a", "2")] });
  await nextTurn();
  log.send();
  expect(await second).toMatchObject({ firstSequence: 2, last: { ordinal: 2, workerOrdinal: 2 } });
  expect(await readAll(log)).toHaveLength(2);
  log.deliver();
  expect(await readAll(log)).toHaveLength(2);
});

test("an append that others come before waits until they are there", async () => {
  const stream = new SharedStream();
  const log = stream.open();
  const other = stream.open();
  const before = other.append({ events: [event("a", "1")] });
  await nextTurn();
  other.send();
  await before;
  const append = log.append({ events: [event("a", "2")] });
  await nextTurn();
  log.send();
  expect(await isSettled(append)).toBe(false);
  log.hear();
  expect(await isSettled(append)).toBe(false);
  log.hear();
  expect(await append).toMatchObject({ firstSequence: 2, last: { ordinal: 2, workerOrdinal: 2 } });
});

test("who folds an append when it is acknowledged knows the same as who hears it", async () => {
  const stream = new SharedStream();
  const log = stream.open();
  const other = stream.open();
  stream.clock.advance(1_234);
  const append = log.append({ events: [event("a", "1")], state: new Map([["key", Uint8Array.of(1)]]) });
  await nextTurn();
  stream.clock.advance(5_000);
  log.send();
  const { timeMs } = await append;
  while (other.hear());
  expect(other.timeMs).toBe(timeMs);
  expect(other.state("key")).toEqual(Uint8Array.of(1));
  expect(await readAll(other)).toEqual(await readAll(log));
});
