import { expect, test } from "vitest";
import { type EventArrays, newEventArrays, shortLength } from "../../../src/log/index/staged.ts";

const columns = [
  "sequences",
  "ordinals",
  "workers",
  "workerOrdinals",
  "kinds",
  "times",
  "sizes",
] as const satisfies readonly (keyof EventArrays)[];

test.each([0, 1, shortLength, shortLength + 1, 1_000])("no column of %i events lies in another", (length) => {
  const events = newEventArrays(length);
  expect(events.length).toBe(length);
  for (const [i, column] of columns.entries()) events[column].fill(i + 1);
  for (const [i, column] of columns.entries()) {
    expect([...events[column]], column).toEqual(new Array(length).fill(i + 1));
  }
});
