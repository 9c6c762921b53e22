import { describe, expect, test } from "vitest";
import { hashId } from "../../../src/events/cursor.ts";
import { event, events, type Implementation, readAll, runtimeScope, texts, workers } from "../harness.ts";

const everything = { kinds: undefined, until: Number.MAX_SAFE_INTEGER, maxEvents: 1000, maxBytes: 1024 * 1024 };

export function readSuite({ create }: Implementation): void {
  describe("read", () => {
    test("gives what follows every position, in every scope, for every page size", async () => {
      const log = await create().open();
      const names = ["a", "b", "c", ""];
      for (let i = 0; i < 40; i++) {
        await log.append({ events: [0, 1, 2].map((n) => event(names[(i * 3 + n * n) % 4] as string, `${i}.${n}`)) });
      }
      const all = await readAll(log);
      expect(all).toHaveLength(120);
      for (const [scope, ids] of [
        [runtimeScope, names],
        [workers("a"), ["a"]],
        [workers("b", "c"), ["b", "c"]],
        [workers("c", "nobody", "c"), ["c"]],
        [workers("nobody"), []],
      ] as const) {
        for (const maxEvents of [1, 7, 1000]) {
          for (let after = 0; after <= 120; after += maxEvents === 1 ? 30 : 1) {
            const expected = all.filter((one) => one.sequence > after && (ids as string[]).includes(one.workerId));
            expect(await readAll(log, { scope, after, maxEvents })).toEqual(expected);
          }
        }
      }
      await log.close();
    });

    test("filters by kinds, and passes over what is not wanted", async () => {
      const log = await create().open();
      for (let i = 0; i < 30; i++)
        await log.append({ events: [event("a", `${i}`, 40 + (i % 3)), event("b", "x", 99)] });
      const found = await readAll(log, { kinds: new Set([41, 7]), maxEvents: 2 });
      expect(texts(found)).toEqual(Array.from({ length: 10 }, (_, i) => `${i * 3 + 1}`));
      expect(await readAll(log, { kinds: new Set([99]), scope: workers("a") })).toEqual([]);
      const page = await log.read({ ...everything, scope: workers("a"), kinds: new Set([1]), after: 0 });
      expect(page).toMatchObject({ kind: "page", block: undefined });
      expect(page.kind === "page" && page.through).toEqual(log.bounds(workers("a")).head);
      await log.close();
    });

    test("stops at `until`, at the bytes asked for, and gives a single larger event", async () => {
      const log = await create().open();
      await log.append({ events: events("a", 10) });
      const all = await readAll(log);
      const until = all[4]?.sequence as number;
      expect(await readAll(log, { until })).toEqual(all.slice(0, 5));
      const page = await log.read({ ...everything, scope: runtimeScope, after: 0, maxBytes: 1 });
      expect(page).toMatchObject({ kind: "page", block: { length: 1 }, through: { sequence: all[0]?.sequence } });
      expect(await readAll(log, { maxBytes: 70 })).toEqual(all);
      await log.close();
    });

    test("reads into memory that is given, as far as the page fits", async () => {
      const log = await create().open();
      const many = events("a", 60);
      await log.append({ events: many });
      await log.append({ events: events("b", 3) });
      const memoryOf = (bytes: number, length: number) => ({
        bytes: new Uint8Array(bytes).fill(0xff),
        starts: new Uint32Array(length).fill(7),
        ends: new Uint32Array(length).fill(7),
      });
      for (const scope of [runtimeScope, workers("a"), workers("b")]) {
        const expected = await readAll(log, { scope });
        for (const memory of [memoryOf(8, 3), memoryOf(64 * 1024, 3), memoryOf(8, 100), memoryOf(64 * 1024, 100)]) {
          expect(await readAll(log, { scope, memory })).toEqual(expected);
          // The same memory again, which holds what was read before.
          expect(await readAll(log, { scope, memory, maxEvents: 17 })).toEqual(expected);
        }
      }
      const memory = memoryOf(64 * 1024, 100);
      const page = await log.read({ ...everything, scope: workers("a"), after: 0, memory });
      if (page.kind !== "page") throw new Error("nothing expired");
      expect(page.block?.starts).toBe(memory.starts);
      expect(page.block?.ends).toBe(memory.ends);
      await log.close();
    });

    test("positions count in the scope they were read in", async () => {
      const log = await create().open();
      await log.append({ events: [...events("a", 3), ...events("b", 2), ...events("a", 1, 4)] });
      const sequences = (await readAll(log)).map((one) => one.sequence);
      const through = async (scope: ReturnType<typeof workers>, until: number) => {
        const page = await log.read({ ...everything, scope, after: 0, until });
        return page.kind === "page" ? page.through : undefined;
      };
      expect(await through(workers("a"), sequences[4] as number)).toMatchObject({
        sequence: sequences[4],
        ordinal: 5,
        workerHash: hashId("a"),
        workerOrdinal: 3,
      });
      expect(await through(workers("b"), sequences[5] as number)).toMatchObject({ ordinal: 6, workerOrdinal: 2 });
      expect(await through(workers("a", "b"), sequences[5] as number)).toMatchObject({
        ordinal: 6,
        workerHash: 0,
        workerOrdinal: 0,
      });
      expect(log.bounds(workers("nobody"))).toMatchObject({
        floor: { sequence: 0, workerHash: hashId("nobody"), workerOrdinal: 0 },
        head: { sequence: sequences[5], ordinal: 6, workerHash: hashId("nobody"), workerOrdinal: 0 },
      });
      await log.close();
    });

    test("at the head there is nothing, and the position stays", async () => {
      const log = await create().open();
      const empty = await log.read({ ...everything, scope: runtimeScope, after: 0 });
      expect(empty).toMatchObject({ kind: "page", block: undefined, through: { sequence: 0, ordinal: 0 } });
      const { last } = await log.append({ events: events("a", 3) });
      const page = await log.read({ ...everything, scope: workers("a"), after: last.sequence });
      expect(page).toEqual({ kind: "page", block: undefined, through: last });
      await log.close();
    });

    test("pages stay as they are while the log goes on and removes", async () => {
      const log = await create().open({ retention: { workerEvents: 5 } });
      await log.append({ events: events("a", 5) });
      const page = await log.read({ ...everything, scope: runtimeScope, after: 0 });
      if (page.kind !== "page" || page.block === undefined) throw new Error("nothing was read");
      const before = page.block.bytes.slice();
      for (let i = 0; i < 50; i++) await log.append({ events: events("a", 100) });
      expect(page.block.bytes).toEqual(before);
      expect(Array.from(page.block.ordinals.subarray(0, 5))).toEqual([1, 2, 3, 4, 5]);
      await log.close();
    });
  });
}
