import { expect, test } from "vitest";
import { shell, tailrace } from "../support.ts";
import { bash, serveOperations } from "./support.ts";

test("much output comes whole, and nothing but lines of the job and ours is on stderr", async () => {
  const { url } = await serveOperations({ count: { command: ["seq", "1", "500000"] } });
  const count = tailrace(["submit", "--server", url, "count"]);
  expect(await count.ended).toBe(0);
  expect(count.stdout.toString()).toBe(Array.from({ length: 500_000 }, (_, index) => `${index + 1}\n`).join(""));
  const foreign = count.stderr.split("\n").filter((line) => !/^(tailrace: job |[\d:.]{12} {2}execute|$)/.test(line));
  expect(foreign).toEqual([]);
});

test("a reader that leaves changes nothing of the job, nor of the exit code", async () => {
  const { url } = await serveOperations({ count: bash("seq 1 200000; exit 3") });
  const piped = shell(`tailrace submit -q --server ${url} count | head -n 2; echo "\${PIPESTATUS[0]}"`);
  expect([await piped.ended, piped.stdout.toString(), piped.stderr]).toEqual([0, "1\n2\n1\n", ""]);
});

test("a line that the job leaves unfinished on stderr is not glued to ours", async () => {
  const { url } = await serveOperations({ ask: bash("printf 'half a line' >&2") });
  const ask = tailrace(["submit", "--server", url, "ask"]);
  expect(await ask.ended).toBe(0);
  expect(ask.stderr).toMatch(/^half a line\n[\d:.]{12} {2}execute_complete/m);
});
