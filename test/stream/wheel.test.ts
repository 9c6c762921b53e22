import fc from "fast-check";
import { expect, test } from "vitest";
import { ManualClock } from "../../src/base/clock.ts";
import { Wheel } from "../../src/stream/wheel.ts";

const tickMs = 250;

test("every item is looked at when it wants to be, at most one tick late and never early", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ delay: fc.integer({ min: 1, max: 5_000 }), again: fc.integer({ min: 1, max: 3_000 }) }), {
        minLength: 1,
        maxLength: 20,
      }),
      fc.array(fc.integer({ min: 1, max: 4_000 }), { minLength: 1, maxLength: 30 }),
      (items, advances) => {
        const clock = new ManualClock();
        const due = new Map<number, number>();
        const wheel = new Wheel<number>(
          clock,
          tickMs,
          (item) => {
            const late = clock.monotonic() - (due.get(item) as number);
            expect(late).toBeGreaterThanOrEqual(0);
            expect(late).toBeLessThanOrEqual(tickMs * 2);
            const { again } = items[item] as { again: number };
            due.set(item, clock.monotonic() + again);
            return again;
          },
          () => undefined,
        );
        items.forEach(({ delay }, item) => {
          due.set(item, clock.monotonic() + delay);
          wheel.add(item, delay);
        });
        expect(clock.pending).toBe(1);
        for (const ms of advances) clock.advance(ms);
        for (const at of due.values()) expect(at).toBeGreaterThan(clock.monotonic() - tickMs * 2);
        items.forEach((_, item) => {
          wheel.remove(item);
        });
        expect(wheel.size).toBe(0);
        expect(clock.pending).toBe(0);
      },
    ),
  );
});

test("an item that is removed while another is looked at is not looked at", () => {
  const clock = new ManualClock();
  const seen: string[] = [];
  const wheel = new Wheel<string>(
    clock,
    tickMs,
    (item) => {
      seen.push(item);
      wheel.remove("second");
      return Number.POSITIVE_INFINITY;
    },
    () => undefined,
  );
  wheel.add("first", 100);
  wheel.add("second", 100);
  clock.advance(1_000);
  expect(seen).toEqual(["first"]);
  expect(clock.pending).toBe(0);
});
