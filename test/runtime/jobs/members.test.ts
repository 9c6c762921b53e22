import fc from "fast-check";
import { expect, test } from "vitest";
import { Members } from "../../../src/runtime/jobs/members.ts";

test("a server is lost after so many beats of another in which it was not heard", () => {
  const members = new Members(4);
  members.heard("b");
  for (const beat of [1, 2, 3]) members.beat(beat);
  expect(members.lost).toEqual([]);
  members.heard("b");
  for (const beat of [4, 5, 6]) members.beat(beat);
  expect(members.lost).toEqual([]);
  members.beat(7);
  expect(members.lost).toEqual(["b"]);
  expect(members.isLost("b")).toBe(true);
  members.heard("b");
  expect(members.lost).toEqual([]);
});

test("one that left is not lost, and one that comes back begins anew", () => {
  const members = new Members(2);
  members.heard("b");
  members.beat(1);
  members.gone("b");
  members.beat(2);
  members.beat(3);
  expect(members.lost).toEqual([]);
  expect(members.has("b")).toBe(false);
  members.heard("b");
  members.beat(4);
  expect(members.lost).toEqual([]);
});

test("a beat that was committed twice counts once", () => {
  const members = new Members(2);
  members.heard("b");
  for (let again = 0; again < 10; again++) members.beat(1);
  expect(members.lost).toEqual([]);
});

const ids = ["b", "c", "d"];
const anEvent = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: "beat" as const, id: "" }) },
  { weight: 1, arbitrary: fc.constant({ kind: "again" as const, id: "" }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("heard", "gone" as const), id: fc.constantFrom(...ids) }) },
);

test("whatever is committed, exactly those are lost that are there and were silent for so many own beats", () => {
  fc.assert(
    fc.property(fc.array(anEvent, { maxLength: 60 }), fc.integer({ min: 1, max: 5 }), (events, lostAfter) => {
      const members = new Members(lostAfter);
      let beats = 0;
      const history = events.map(({ kind, id }) => {
        if (kind === "beat") members.beat(++beats);
        if (kind === "again") members.beat(beats);
        if (kind === "heard") members.heard(id);
        if (kind === "gone") members.gone(id);
        return { kind, id };
      });
      for (const id of ids) {
        const last = history.findLastIndex((event) => event.id === id);
        const isThere = last >= 0 && history[last]?.kind === "heard";
        const silent = history.slice(last + 1).filter(({ kind }) => kind === "beat").length;
        expect(members.has(id)).toBe(isThere);
        expect(members.isLost(id)).toBe(isThere && silent >= lostAfter);
      }
      expect(new Set(members.lost)).toEqual(new Set(ids.filter((id) => members.isLost(id))));
    }),
    { numRuns: 2_000 },
  );
});
