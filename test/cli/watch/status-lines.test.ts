import { expect, test } from "vitest";
import { StatusLines } from "../../../src/cli/watch/status-lines.ts";

test("a log that is away is said, and that it is back", () => {
  const lines = new StatusLines("http://127.0.0.1:7433");
  const caughtUp = { kind: "caught_up", cursor: "", lagEvents: 0 } as const;
  expect(lines.line(caughtUp)).toBeUndefined();
  const away = {
    kind: "log_unavailable",
    cursor: "",
    sinceMs: 1,
    message: "The log has no connection to NATS.",
  } as const;
  expect(lines.line(away)).toBe("The log has no connection to NATS. Waiting for it.");
  expect(lines.line(caughtUp)).toBe("the server's log can be used again");
  expect(lines.line(caughtUp)).toBeUndefined();
});

test("a gap says how many events are gone, or that nobody knows", () => {
  const lines = new StatusLines("http://127.0.0.1:7433");
  const gap = { kind: "gap", fromCursor: "c", toCursor: "d", lostEvents: 1_200, lostExact: true, message: "" } as const;
  expect(lines.line(gap)).toBe("gap: 1,200 events are no longer retained; going on behind them");
  expect(lines.line({ ...gap, lostEvents: 1, lostExact: false })).toMatch(/^gap: at most 1 event is no longer/);
  expect(lines.line({ ...gap, fromCursor: "", lostEvents: 0, lostExact: false })).toMatch(
    /^gap: the log does not have the position of this cursor; how many events are missing is not known/,
  );
});
