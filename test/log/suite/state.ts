import { describe, expect, test } from "vitest";
import { readResult, resultBytes } from "../../../src/log/state-put.ts";
import { event, events, type Implementation, readAll, workers } from "../harness.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

export function stateSuite({ create }: Implementation): void {
  describe("state", () => {
    test("is put, replaced and removed together with events", async () => {
      const log = await create().open();
      const pending = log.append({
        events: [event("a", "1")],
        state: new Map([
          ["p/1", bytes("one")],
          ["p/2", bytes("two")],
          ["q/1", bytes("other")],
        ]),
      });
      expect(log.state("p/1")).toBeUndefined();
      await pending;
      expect(log.state("p/1")).toEqual(bytes("one"));
      await log.append({
        events: [],
        state: new Map([
          ["p/1", bytes("")],
          ["p/2", null],
        ]),
      });
      expect(log.state("p/1")).toEqual(bytes(""));
      expect(log.state("p/2")).toBeUndefined();
      expect([...log.stateEntries("p/")]).toEqual([["p/1", bytes("")]]);
      expect([...log.stateEntries("")].map(([key]) => key).sort()).toEqual(["p/1", "q/1"]);
      await log.close();
    });

    test("may say where its batch went", async () => {
      const log = await create().open();
      const room = new Uint8Array(resultBytes);
      await log.append({ events: events("a", 2) });
      const results = await Promise.all(
        ["x", "y"].map((key) =>
          log.append({
            events: events("a", 3),
            state: new Map([[key, { bytes: Uint8Array.from([...bytes(key), ...room, 7]), resultAt: 1 }]]),
          }),
        ),
      );
      for (const [i, key] of ["x", "y"].entries()) {
        const value = log.state(key) as Uint8Array;
        expect([value.at(0), value.at(-1), value.length]).toEqual([bytes(key)[0], 7, resultBytes + 2]);
        expect(readResult(value, 1)).toEqual(results[i]);
        expect(results[i]?.last.workerOrdinal).toBe(5 + 3 * i);
      }
      await log.close();
    });

    test("a batch without events answers with the head", async () => {
      const log = await create().open();
      const { last } = await log.append({ events: events("a", 2) });
      const empty = await log.append({ events: [] });
      expect(empty).toMatchObject({ firstSequence: last.sequence, last: { sequence: last.sequence, ordinal: 2 } });
      await log.close();
    });

    test("forgets a worker with nothing retained, and only such a one", async () => {
      const log = await create().open({ retention: { events: 2 } });
      await log.append({ events: events("gone", 1) });
      await log.append({ events: events("kept", 2) });
      // Both hold one now, and the oldest of the two goes.
      await log.append({ events: [], forgetWorkers: ["gone", "kept", "nobody"] });
      expect([...log.workers()].map((one) => one.workerId)).toContain("kept");
      expect(log.worker("gone") === undefined).toBe(log.bounds(workers("gone")).head.workerOrdinal === 0);
      await log.close();
    });

    test("a worker that was forgotten begins anew, and its old positions are expired", async () => {
      const log = await create().open({ retention: { workerEvents: 0 } });
      const { last } = await log.append({ events: events("gone", 3) });
      const other = await create().open();
      await other.append({ events: events("kept", 1) });
      await other.append({ events: [], forgetWorkers: ["kept", "nobody"] });
      expect(other.worker("kept")).toBeDefined();
      await other.close();

      expect(log.worker("gone")).toMatchObject({ lastOrdinal: 3, retainedEvents: 0 });
      await log.append({ events: [], forgetWorkers: ["gone"] });
      expect(log.worker("gone")).toBeUndefined();
      expect([...log.workers()]).toEqual([]);
      expect(log.bounds(workers("gone")).floor).toMatchObject({ sequence: last.sequence, workerOrdinal: 0 });
      const again = await log.append({ events: events("gone", 2) });
      expect(again.last.workerOrdinal).toBe(2);
      const page = await log.read({
        scope: workers("gone"),
        kinds: undefined,
        after: 1,
        until: 99,
        maxEvents: 9,
        maxBytes: 999,
      });
      expect(page.kind).toBe("expired");
      expect(await readAll(log, { scope: workers("gone") })).toEqual([]);
      await log.close();
    });

    test("workers are listed with what is known of them", async () => {
      const log = await create().open();
      await log.append({ events: [...events("a", 2), ...events("b", 1), ...events("", 4)] });
      const records = [...log.workers()].sort((x, y) => x.workerId.localeCompare(y.workerId));
      expect(records.map((one) => [one.workerId, one.lastOrdinal, one.retainedEvents])).toEqual([
        ["a", 2, 2],
        ["b", 1, 1],
      ]);
      expect(log.worker("")).toBeUndefined();
      await log.close();
    });
  });
}
