import { expect, test } from "vitest";
import { NumberedTable } from "../../src/log/numbered-table.ts";

test("keeps what is not let go, whatever goes around it", () => {
  const table = new NumberedTable<string>();
  const kept = new Map<number, string>();
  for (let number = 1; number <= 20_000; number++) {
    table.set(number, `${number}`);
    if (number % 777 === 0) kept.set(number, `${number}`);
    const old = number - 100;
    if (old > 0 && !kept.has(old)) table.delete(old);
  }
  for (let number = 19_901; number <= 20_000; number++) if (!kept.has(number)) table.delete(number);
  expect([...table.values()]).toEqual([...kept.values()]);
  for (let number = 0; number <= 20_100; number++) expect(table.get(number)).toBe(kept.get(number));
});

test("a number may have another value, be let go twice, and be given again", () => {
  const table = new NumberedTable<string>();
  for (const number of [0, 63, 64, 5_000_000]) {
    table.set(number, "one");
    table.set(number, "two");
    expect(table.get(number)).toBe("two");
    table.delete(number);
    table.delete(number);
    expect(table.get(number)).toBeUndefined();
    table.set(number, "three");
  }
  expect([...table.values()]).toEqual(["three", "three", "three", "three"]);
});
