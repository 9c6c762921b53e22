import { expect, test } from "vitest";
import type { AppendBatch } from "../../../../src/log/contract.ts";
import { Putting } from "../../../../src/log/jetstream/publish/putting.ts";

const puts = (...keys: string[]): AppendBatch => ({ events: [], state: new Map(keys.map((key) => [key, null])) });

test("an append follows the newest one on its way that puts one of its keys, until that is over", () => {
  const putting = new Putting();
  expect(putting.begin(1, puts("k"))).toBeUndefined();
  expect(putting.begin(2, puts("k", "l"))).toEqual(new Map([["k", 1]]));
  // What is over is not the newest one: whoever comes now still depends on that.
  putting.over(1, puts("k"));
  expect(putting.begin(3, { events: [], fence: ["k"] })).toEqual(new Map([["k", 2]]));
  expect(putting.begin(4, { ...puts("l"), fence: ["m"] })).toEqual(new Map([["l", 2]]));
  putting.over(2, puts("k", "l"));
  expect(putting.begin(5, puts("k", "l", "m"))).toEqual(new Map([["l", 4]]));
  putting.over(5, puts("k", "l", "m"));
  putting.over(4, puts("l"));
  expect(putting.begin(6, puts("k", "l", "m"))).toBeUndefined();
});

test("an append that is on its way is followed also where one behind it was refused before it came", () => {
  const putting = new Putting();
  putting.begin(1, puts("k"));
  expect(putting.begin(2, puts("k"))).toEqual(new Map([["k", 1]]));
  putting.over(2, puts("k"));
  expect(putting.begin(3, puts("k"))).toEqual(new Map([["k", 1]]));
  putting.over(1, puts("k"));
  expect(putting.begin(4, puts("k"))).toEqual(new Map([["k", 3]]));
});
