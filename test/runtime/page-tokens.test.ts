import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hasReason } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import {
  entryOfPageToken,
  jobPageToken,
  sequenceOfPageToken,
  transcriptPageToken,
  workerOfPageToken,
  workerPageToken,
} from "../../src/runtime/page-tokens.ts";

/** What each list makes of a token. */
const readers = {
  workers: (token: string) => workerOfPageToken(token),
  jobs: (token: string) => sequenceOfPageToken(token),
  transcript: (token: string) => entryOfPageToken(token, "w", false),
};

function expectRefusal(read: () => unknown, what: string): void {
  try {
    read();
  } catch (error) {
    expect(hasReason(error, "invalid_request") && error.details.field, what).toBe("page_token");
    return;
  }
  throw new Error(`${what} was taken`);
}

const ids = fc.string({ unit: "binary", minLength: 1, maxLength: 60 }).filter((id) => id.isWellFormed());
const numbers = fc.integer({ min: 1, max: 2 ** 48 });
const tokens = fc.oneof(
  ids.map((id) => ["workers", workerPageToken(id), id] as const),
  numbers.map((sequence) => ["jobs", jobPageToken(sequence), sequence] as const),
  numbers.map((entry) => ["transcript", transcriptPageToken("w", entry, false), entry] as const),
);

describe("a token of a page", () => {
  it("says its place to its own list, and is refused by every other", () => {
    fc.assert(
      fc.property(tokens, ([kind, token, place]) => {
        for (const [name, read] of Object.entries(readers)) {
          if (name === kind) expect(read(token)).toBe(place);
          else expectRefusal(() => read(token), `${token} by ${name}`);
        }
      }),
    );
  });

  it("is refused when anything in it is changed to what no answer gives", () => {
    fc.assert(
      fc.property(tokens, fc.nat(), fc.string({ unit: "binary-ascii", maxLength: 2 }), ([kind, token], at, text) => {
        const place = at % (token.length + 1);
        const changed = token.slice(0, place) + text + token.slice(place + 1);
        fc.pre(changed !== token);
        const read = readers[kind];
        let known: unknown;
        try {
          known = read(changed);
        } catch {
          return;
        }
        // Then it is the token of another place, and the only one.
        const again = {
          workers: () => workerPageToken(known as string),
          jobs: () => jobPageToken(known as number),
          transcript: () => transcriptPageToken("w", known as number, false),
        };
        expect(again[kind]()).toBe(changed);
      }),
    );
  });

  it("has a longest length", () => {
    const longest = "x".repeat(limits.maxIdBytes);
    expect(workerOfPageToken(workerPageToken(longest))).toBe(longest);
    expectRefusal(() => workerOfPageToken(workerPageToken(`${longest}xxx`)), "one of no worker");
    for (const [name, read] of Object.entries(readers)) {
      for (const token of ["", "w", "j", "t", "A".repeat(5_000), `w${"A".repeat(5_000)}`, `j${"1".repeat(12)}`]) {
        expectRefusal(() => read(token), `${token.slice(0, 20)} by ${name}`);
      }
    }
  });

  it("of a transcript is for that worker and direction", () => {
    const token = transcriptPageToken("w", 4, true);
    expect(entryOfPageToken(token, "w", true)).toBe(4);
    expectRefusal(() => entryOfPageToken(token, "w", false), "the other direction");
    expectRefusal(() => entryOfPageToken(token, "another", true), "another worker");
  });
});
