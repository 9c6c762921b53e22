import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { hasReason } from "../../../src/base/errors.ts";
import { limits } from "../../../src/base/limits.ts";
import { hashId } from "../../../src/events/cursor.ts";
import type { EventBlock } from "../../../src/log/block.ts";
import { event, events, type Implementation, readAll, type Seen, seenOf, texts, workers } from "../harness.ts";

export function appendSuite({ create }: Implementation): void {
  describe("append", () => {
    test("gives consecutive sequences and ordinals without holes", async () => {
      const log = await create().open();
      const first = await log.append({ events: [event("a", "1"), event("b", "2"), event("a", "3")] });
      expect(first.last.sequence).toBe(first.firstSequence + 2);
      expect(first.last).toMatchObject({ ordinal: 3, workerHash: hashId("a"), workerOrdinal: 2 });
      const second = await log.append({ events: [event("", "4"), event("b", "5")] });
      expect(second.firstSequence).toBeGreaterThan(first.last.sequence);
      expect(second.last).toMatchObject({ ordinal: 5, workerHash: hashId("b"), workerOrdinal: 2 });
      const seen = await readAll(log);
      expect(seen.map((one) => [one.ordinal, one.workerId, one.workerOrdinal, one.text])).toEqual([
        [1, "a", 1, "1"],
        [2, "b", 1, "2"],
        [3, "a", 2, "3"],
        [4, "", 0, "4"],
        [5, "b", 2, "5"],
      ]);
      await log.close();
    });

    test("commits in the order of the calls, and tells subscribers first, once, in order", async () => {
      const log = await create().open();
      const told: Seen[] = [];
      log.subscribe((block) => told.push(...seenOf(block)));
      const settled: number[] = [];
      const appends = Array.from({ length: 200 }, (_, i) =>
        log.append({ events: events("a", 1 + (i % 3), i * 10) }).then((result) => {
          expect(told.at(-1)?.sequence).toBeGreaterThanOrEqual(result.last.sequence);
          settled.push(i);
        }),
      );
      await Promise.all(appends);
      expect(settled).toEqual(Array.from({ length: 200 }, (_, i) => i));
      const expected = settled.flatMap((i) => events("a", 1 + (i % 3), i * 10)).length;
      expect(told).toHaveLength(expected);
      expect(told).toEqual(await readAll(log));
      expect(texts(told)).toEqual(
        settled.flatMap((i) => Array.from({ length: 1 + (i % 3) }, (_, n) => `a:${i * 10 + n}`)),
      );
      await log.close();
    });

    test("leaves a block as it is until all subscribers are done with it", async () => {
      const log = await create().open();
      const kept: EventBlock[] = [];
      const told: Seen[] = [];
      const isDone: (() => void)[] = [];
      log.subscribe((_, done) => done());
      log.subscribe((block, done) => {
        kept.push(block);
        told.push(...seenOf(block));
        isDone.push(done);
      });
      const append = (round: number) =>
        log.append({ events: Array.from({ length: 30 }, (_, i) => event("a", `${round}.${i}`.padEnd(500))) });
      for (let round = 0; round < 10; round++) await append(round);
      expect(kept.flatMap(seenOf)).toEqual(told);
      for (const done of isDone.splice(0)) done();
      const before = kept.length;
      for (let round = 10; round < 20; round++) await append(round);
      expect(kept.slice(before).flatMap(seenOf)).toEqual(told.slice(300));
      expect(await readAll(log)).toEqual(told);
      await log.close();
    });

    test("does not show an event before it is committed", async () => {
      const log = await create().open();
      const pending = log.append({ events: [event("a", "1")] });
      expect(log.bounds({ kind: "runtime" }).head.sequence).toBe(0);
      expect(log.worker("a")).toBeUndefined();
      await pending;
      expect(log.bounds({ kind: "runtime" }).head.ordinal).toBe(1);
      expect(log.worker("a")).toMatchObject({ lastOrdinal: 1, retainedEvents: 1 });
      await log.close();
    });

    test("a subscriber that left hears nothing more; one that came late hears what is new", async () => {
      const log = await create().open();
      const early: string[] = [];
      const late: string[] = [];
      const leave = log.subscribe((block) => early.push(...texts(seenOf(block))));
      await log.append({ events: [event("a", "1")] });
      leave();
      leave();
      log.subscribe((block) => late.push(...texts(seenOf(block))));
      await log.append({ events: [event("a", "2")] });
      expect(early).toEqual(["1"]);
      expect(late).toEqual(["2"]);
      await log.close();
    });

    test("a subscriber may append", async () => {
      const log = await create().open();
      const told: string[] = [];
      const nested: Promise<unknown>[] = [];
      log.subscribe((block) => {
        for (const seen of seenOf(block)) {
          told.push(seen.text);
          if (seen.text.length < 4) nested.push(log.append({ events: [event("a", `${seen.text}+`)] }));
        }
      });
      await log.append({ events: [event("a", "1")] });
      for (let i = 0; i < nested.length; i++) await nested[i];
      expect(told).toEqual(["1", "1+", "1++", "1+++"]);
      await log.close();
    });

    test("time never decreases, whatever the clock does, and is in the stored bytes", async () => {
      const clock = new ManualClock(1_700_000_000_123);
      const log = await create().open({ clock });
      const results = [await log.append({ events: [event("a", "1")] })];
      clock.advance(877);
      results.push(await log.append({ events: [event("a", "2")] }));
      const now = clock.now();
      clock.now = () => now - 5_000;
      results.push(await log.append({ events: [event("a", "3")] }));
      const seen = await readAll(log);
      expect(results.map(({ timeMs }) => timeMs)).toEqual(seen.map((one) => one.timeMs));
      expect(seen.map((one) => one.timeMs)).toEqual([1_700_000_000_123, 1_700_000_001_000, 1_700_000_001_000]);
      await log.close();
    });

    test("keeps the body of an event byte for byte, whatever is in it", async () => {
      const log = await create().open();
      const body = Uint8Array.from([...event("a", "known").body, 0xfa, 0x7f, 3, 1, 2, 255]);
      await log.append({ events: [{ workerId: "a", jobId: "", kind: 2047, body }] });
      const page = await log.read({
        scope: workers("a"),
        kinds: undefined,
        after: 0,
        until: Number.MAX_SAFE_INTEGER,
        maxEvents: 1,
        maxBytes: 1,
      });
      if (page.kind !== "page" || page.block === undefined) throw new Error("nothing was read");
      const { block } = page;
      expect(block.kinds[0]).toBe(2047);
      const stored = block.bytes.subarray(block.starts[0], block.ends[0]);
      expect(stored.subarray(stored.length - body.length)).toEqual(body);
      await log.close();
    });

    test("refuses events and ids that are too large, naming which, and stores nothing of the batch", async () => {
      const log = await create().open();
      const large = { ...event("a", "large"), body: new Uint8Array(limits.maxEventBytes + 1) };
      const refusal = await log.append({ events: [event("a", "small"), large] }).catch((error) => error);
      expect(hasReason(refusal, "invalid_request") && refusal.details.field).toBe("events[1]");
      const id = "ü".repeat(limits.maxIdBytes / 2 + 1);
      const second = await log.append({ events: [event(id, "x")] }).catch((error) => error);
      expect(hasReason(second, "invalid_request") && second.details.field).toBe("events[0].worker_id");
      expect(log.bounds({ kind: "runtime" }).head.ordinal).toBe(0);
      await log.close();
    });

    test("refuses more than may wait, and takes it when the rest is committed", async () => {
      const log = await create().open();
      const body = new Uint8Array(500 * 1024);
      body.set(event("a", "x").body);
      // Field 15, length-delimited, over the rest: unknown to every schema, and carried along.
      const rest = body.length - event("a", "x").body.length;
      body.set(
        [0x7a, ((rest - 4) & 0x7f) | 0x80, (((rest - 4) >> 7) & 0x7f) | 0x80, (rest - 4) >> 14],
        rest > 0 ? event("a", "x").body.length : 0,
      );
      const one = { workerId: "a", jobId: "", kind: 40, body };
      const many = Math.ceil(limits.maxPendingAppendBytes / body.length) + 2;
      const appends = Promise.allSettled(Array.from({ length: many }, () => log.append({ events: [one] })));
      // What must not be refused because of that has a reserve of its own, which is not for events and is bounded as well.
      const put = (bytes: number) => new Map([["urgent", new Uint8Array(bytes)]]);
      const urgent = log.append({ events: [], state: put(1_000), urgent: true });
      const notForThat = Promise.allSettled([
        log.append({ events: [], state: put(limits.urgentAppendBytes + body.length), urgent: true }),
        log.append({ events: [one], urgent: true }),
      ]);
      await urgent;
      expect(log.state("urgent")).toHaveLength(1_000);
      for (const result of await notForThat) {
        expect(result).toMatchObject({ status: "rejected", reason: { reason: "limit_exceeded" } });
      }
      const results = await appends;
      const refused = results.filter((result) => result.status === "rejected");
      expect(refused.length).toBeGreaterThan(0);
      expect(refused.length).toBeLessThan(many);
      for (const { reason } of refused) {
        expect(hasReason(reason, "limit_exceeded") && reason.details.limit).toBe("maxPendingAppendBytes");
      }
      await log.append({ events: [one] });
      expect(log.bounds({ kind: "runtime" }).head.ordinal).toBe(many - refused.length + 1);
      await log.close();
    });

    test("close commits what was appended; afterwards everything is refused", async () => {
      const log = await create().open();
      const told: string[] = [];
      log.subscribe((block) => told.push(...texts(seenOf(block))));
      const pending = log.append({ events: [event("a", "1")] });
      const closing = log.close();
      const late = await log.append({ events: [event("a", "2")] }).catch((error) => error);
      await Promise.all([pending, closing, log.close()]);
      expect(told).toEqual(["1"]);
      expect(hasReason(late, "log_unavailable")).toBe(true);
      const read = { scope: workers("a"), kinds: undefined, after: 0, until: 9, maxEvents: 1, maxBytes: 1 };
      await expect(log.read(read)).rejects.toMatchObject({ reason: "log_unavailable" });
      await expect(log.seek(workers("a"), { kind: "latest" })).rejects.toMatchObject({ reason: "log_unavailable" });
      expect(log.health()).toMatchObject({ available: false });
    });
  });
}
