import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { parseDuration, parseSince } from "../../src/gateway/time-values.ts";

describe("durations in a query", () => {
  it.each([
    ["15s", 15_000],
    ["5m", 300_000],
    ["1h30m", 5_400_000],
    ["500ms", 500],
    ["2d", 172_800_000],
    ["0s", 0],
  ])("%s is %d ms", (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });

  it.each(["", "5", "m", "-5m", "5 m", "1.5h", "5M", "5min", "١s", `${"9".repeat(10)}s`, "1s".repeat(40), "5m\n"])(
    "%j is none",
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});

describe("the start in time", () => {
  const now = Date.parse("2026-01-31T12:00:00Z");

  it.each([
    ["5m", "2026-01-31T11:55:00.000Z"],
    ["2026-01-31T11:00:00Z", "2026-01-31T11:00:00.000Z"],
    ["2026-01-31T11:00:00.123456789Z", "2026-01-31T11:00:00.123Z"],
    ["2026-01-31T13:00:00+02:00", "2026-01-31T11:00:00.000Z"],
    // What a query makes of an unescaped "+".
    ["2026-01-31T13:00:00 02:00", "2026-01-31T11:00:00.000Z"],
    ["100000d", "1970-01-01T00:00:00.000Z"],
  ])("%s is %s", (text, expected) => {
    const time = parseSince(text, now);
    expect(time && new Date(timestampMs(time)).toISOString()).toBe(expected);
  });

  it.each(["yesterday", "2026-01-31", "1769860800", "2026-13-01T00:00:00Z", "2026-01-31T11:00:00"])(
    "%j is none",
    (text) => {
      expect(parseSince(text, now)).toBeUndefined();
    },
  );
});
