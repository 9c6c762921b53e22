import { expect, test } from "vitest";
import { printable, styleFor } from "../../../src/cli/output/style.ts";

test("colours are for terminals, unless NO_COLOR or TERM says no", () => {
  const terminal = { isTTY: true };
  expect(styleFor(terminal, {}).red("x")).toBe("\u001b[31mx\u001b[0m");
  expect(styleFor(terminal, { NO_COLOR: "" }).red("x")).not.toBe("x");
  expect(styleFor(terminal, { NO_COLOR: "1" }).red("x")).toBe("x");
  expect(styleFor(terminal, { TERM: "dumb" }).red("x")).toBe("x");
  expect(styleFor({}, {}).red("x")).toBe("x");
});

test("the same name has the same colour", () => {
  const style = styleFor({ isTTY: true }, {});
  expect(style.named("x", "build")).toBe(style.named("x", "build"));
  expect(new Set(["a", "b", "c", "d"].map((name) => style.named("x", name))).size).toBeGreaterThan(1);
});

test("what could steer a terminal becomes visible; colours stay where there are any", () => {
  expect(printable("a\u001b[2Jb\u0007\u009bc\u2028", false)).toBe("a\\x1b[2Jb\\x07\\x9bc\\u2028");
  expect(printable("\u001b]0;title\u0007", true)).toBe("\\x1b]0;title\\x07");
  expect(printable("\u001b[1;31mred\u001b[0m", true)).toBe("\u001b[1;31mred\u001b[0m");
  expect(printable("\u001b[1;31mred\u001b[0m", false)).toBe("red");
  expect(printable("tab\tstays, äöü 世界 too", false)).toBe("tab\tstays, äöü 世界 too");
});
