import { describe, expect, test } from "vitest";
import { randomOf } from "../../support/random.ts";
import { grown } from "./growth.ts";
import { type Course, courseOf, type MemoryOfLife } from "./memory.ts";

/** What happens in a minute of the soak. */
const eventsPerMinute = 6_100;
const jobsPerMinute = 59;

/** A measure that fills up within some minutes, is never quite the same, and rises by some bytes in each minute. */
function course(bytesPerMinute: number, minutes: number): Course {
  const random = randomOf(7);
  return courseOf(
    Array.from({ length: minutes }, (_, minute) => {
      const filling = 10 * Math.min(1, minute / 12);
      return { minute, mebibytes: 20 + filling + random() + (minute * bytesPerMinute) / 1024 ** 2 };
    }),
  );
}

function life(held: { heap?: number; external?: number } | undefined, minutes = 60): MemoryOfLife {
  const resident = course(1_000_000, minutes);
  if (held === undefined) return { name: "one", minutes, resident, held };
  const { heap = 0, external = 0 } = held;
  return {
    name: "one",
    minutes,
    resident,
    held: { heap: course(heap, minutes), external: course(external, minutes), taken: resident },
  };
}

describe("whether servers hold more and more", () => {
  test("one that fills up to its limits does not, whatever the process has", () => {
    expect(grown([life({})])).toEqual([]);
  });

  test.each([
    ["20 bytes of each event", 20 * eventsPerMinute],
    ["2 KiB of each job", 2_048 * jobsPerMinute],
  ])("one that keeps %s does", (_, heap) => {
    expect(grown([life({ heap })])).toEqual([expect.stringContaining("MiB of heap memory")]);
  });

  test("one that keeps buffers outside of the heap does", () => {
    const external = 64 * 1024 * 3;
    expect(grown([life({ external })])).toEqual([expect.stringContaining("MiB of external memory")]);
  });

  test("a life too short to fill up before says nothing", () => {
    expect(grown([life({ heap: 1_000_000 }, 39)])).toEqual([]);
    expect(grown([life({ heap: 1_000_000 }, 40)])).toHaveLength(1);
  });

  test("a process that can't be asked says nothing", () => {
    expect(grown([life(undefined)])).toEqual([]);
  });
});
