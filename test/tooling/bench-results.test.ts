import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { writeResultFiles } from "../../bench/report/result-files.ts";
import { scratchDirectory } from "../support/scratch.ts";

function filesOf(run: string) {
  return { json: `${run} json`, md: `${run} md`, svg: `${run} svg` };
}

test("runs of the benchmark that end in the same second keep their results apart", () => {
  const directory = join(scratchDirectory(), "results");
  const date = "2026-11-26T09:10:05.123Z";
  const paths = ["one", "two", "three"].map((run) => writeResultFiles(directory, date, filesOf(run)));
  expect(paths.map((path) => basename(path))).toEqual([
    "2026-11-26T091005",
    "2026-11-26T091005-2",
    "2026-11-26T091005-3",
  ]);
  for (const [i, run] of ["one", "two", "three"].entries()) {
    for (const [ending, text] of Object.entries(filesOf(run))) {
      expect(readFileSync(`${paths[i]}.${ending}`, "utf8")).toBe(text);
    }
  }
  expect(readdirSync(directory)).toHaveLength(9);
});

test("a result is named after the second at which its run ended", () => {
  const directory = scratchDirectory();
  for (const second of ["05", "06"]) writeResultFiles(directory, `2026-11-26T09:10:${second}.999Z`, filesOf(second));
  expect(readdirSync(directory).filter((name) => name.endsWith(".md"))).toEqual([
    "2026-11-26T091005.md",
    "2026-11-26T091006.md",
  ]);
});
