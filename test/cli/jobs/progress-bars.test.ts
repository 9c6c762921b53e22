import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { ProgressSchema } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { isDone, ProgressBars, progressBar, progressLine } from "../../../src/cli/jobs/progress-bars.ts";
import { styleFor } from "../../../src/cli/output/style.ts";

const plain = styleFor({ isTTY: false });
const coloured = styleFor({ isTTY: true }, { TERM: "xterm" });
const progress = (init: MessageInitShape<typeof ProgressSchema>) => create(ProgressSchema, init);
const bar = (init: MessageInitShape<typeof ProgressSchema>, columns = 100) =>
  progressBar(progress(init), columns, plain);

describe("a bar", () => {
  test("shows task, share, amounts and note", () => {
    expect(bar({ task: "fetch", done: 3, total: 12, unit: "files", message: "a.txt" })).toBe(
      "fetch ######------------------  25%  3 of 12 files  a.txt",
    );
    expect(bar({ done: 1536, total: 1048576, unit: "bytes" })).toBe(
      "------------------------   0%  1.5 KiB of 1.0 MiB",
    );
  });

  test("is full at the end and never beyond, says more than 100% where it is, and 99.9% is not done", () => {
    expect(bar({ done: 10, total: 10 })).toBe("######################## 100%  10 of 10");
    expect(bar({ done: 12, total: 10 })).toBe("######################## 120%  12 of 10");
    expect(bar({ done: 999, total: 1000 })).toContain(" 99%");
    expect(bar({ done: -1, total: 10 })).toContain("   0%");
  });

  test("is only words where the total is not known or nothing", () => {
    expect(bar({ task: "scan", done: 7, unit: "files" })).toBe("scan 7 files");
    expect(bar({ done: 0, total: 0 })).toBe("0 of 0");
  });

  test("fits the terminal, with colours too", () => {
    const long = { task: "t", done: 5, total: 10, message: "x".repeat(200) };
    expect(bar(long, 80)).toHaveLength(79);
    const painted = progressBar(progress(long), 80, coloured);
    expect(painted).toContain("\u001b[32m############\u001b[0m");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control sequences
    expect(painted.replaceAll(/\u001b\[\d*m/g, "")).toBe(bar(long, 80));
    expect(bar(long, 5)).toHaveLength(10);
  });

  test("shows no control characters of the job", () => {
    const text = bar({ task: "a\u001b[2J", done: 1, total: 2, unit: "\r", message: "\u0007" });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(text).not.toMatch(/[\u0000-\u001f]/);
  });
});

test("in words it says the same", () => {
  const whole = progress({ task: "fetch", done: 3, total: 12, unit: "files", message: "a.txt" });
  expect(progressLine(whole)).toBe("fetch: 3 of 12 files (25%)  a.txt");
  expect(progressLine(progress({ done: 0.5 }))).toBe("0.5");
  expect(progressLine(progress({ done: 5, total: 3 }))).toBe("5 of 3 (166%)");
  expect([isDone(whole), isDone(progress({ done: 2, total: 2 })), isDone(progress({ done: 2 }))]).toEqual([
    false,
    true,
    false,
  ]);
});

describe("bars of several tasks", () => {
  test("stand below each other, and are taken off before anything else is written", () => {
    const bars = new ProgressBars(plain, () => 80);
    expect([bars.draw(), bars.erase()]).toEqual(["", ""]);
    bars.update(progress({ task: "a", done: 1, total: 2 }));
    bars.update(progress({ task: "b", done: 1 }));
    expect(bars.draw()).toBe("a ############------------  50%  1 of 2\nb 1\n");
    expect(bars.erase()).toBe("\r\u001b[2K\u001b[1A\r\u001b[2K\u001b[1A\r\u001b[2K");
    expect(bars.erase()).toBe("");
    bars.update(progress({ task: "a", done: 2, total: 2 }));
    expect(bars.draw()).toMatch(/^a #{24} 100%.*\nb 1\n$/);
  });

  test("stay as they are when they are left, and are drawn no more", () => {
    const bars = new ProgressBars(plain, () => 80);
    bars.update(progress({ done: 2, total: 2 }));
    bars.draw();
    bars.leave();
    expect([bars.erase(), bars.draw()]).toEqual(["", ""]);
  });

  test("are five at the most; one that is done makes room first", () => {
    const bars = new ProgressBars(plain, () => 80);
    for (const task of ["a", "b", "c", "d", "e"]) bars.update(progress({ task, done: task === "c" ? 2 : 1, total: 2 }));
    bars.update(progress({ task: "f", done: 1, total: 2 }));
    const tasks = () => bars.draw().match(/^\w/gm);
    expect(tasks()).toEqual(["a", "b", "d", "e", "f"]);
    bars.update(progress({ task: "g", done: 1, total: 2 }));
    expect(tasks()).toEqual(["b", "d", "e", "f", "g"]);
  });
});
