import { expect, it } from "vitest";
import { readPage, runFile, writeFilesOf } from "../support/pages.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { eventually } from "../support/until.ts";

it("the programs of the guide run as they are, and the backend comes back to where it was", async () => {
  const directory = scratchDirectory();
  expect(writeFilesOf(readPage("docs/guides/watch-from-a-backend.md"), directory)).toEqual([
    "runtime.ts",
    "backend.ts",
  ]);

  const runtime = runFile(directory, "runtime.ts", { LISTEN: "127.0.0.1:0" });
  await eventually(() => expect(runtime.lines).toHaveLength(1));
  const env = { RUNTIME_URL: (runtime.lines[0] as string).replace("runtime at ", "") };

  const first = runFile(directory, "backend.ts", env);
  await eventually(() => expect(first.lines.length).toBeGreaterThan(5));
  // Two pipes of one process: their lines come in any order.
  await eventually(() => expect(first.errors).toContain("live"));
  expect(await first.kill("SIGTERM")).toBe(0);
  expect(first.errors).toContain("closed");

  // Meanwhile the worker goes on.
  const second = runFile(directory, "backend.ts", env);
  await eventually(() => expect(second.lines.length).toBeGreaterThan(5));
  await second.kill("SIGKILL");

  const third = runFile(directory, "backend.ts", env);
  await eventually(() => expect(third.lines.length).toBeGreaterThan(5));
  await third.kill("SIGTERM");

  const steps = (lines: string[]) => lines.map((line) => Number(line.split(" ").at(-1)));
  const all = [...steps(first.lines), ...steps(second.lines), ...steps(third.lines)];
  const once = [...new Set(all)].sort((a, b) => a - b);
  expect(once).toEqual(Array.from({ length: once.length }, (_, i) => i + 1));
  // The backend that was told to stop had stored its position; only the killed one's last events may come again.
  expect(steps(second.lines)[0]).toBe((steps(first.lines).at(-1) as number) + 1);
});
