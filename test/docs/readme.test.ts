import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { entry, Started, startServe } from "../cli/support.ts";
import { readPage, writeFilesOf } from "../support/pages.ts";
import { scratchDirectory } from "../support/scratch.ts";

const readme = readPage("README.md");

function shellBlocks(): string[] {
  return [...readme.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block as string);
}

test("the programs run as they are", async () => {
  const directory = scratchDirectory();
  expect(writeFilesOf(readme, directory)).toEqual(["runtime.ts", "backend.ts"]);
  const env = { LISTEN: "127.0.0.1:0" };
  const runtime = new Started(process.execPath, ["runtime.ts"], { cwd: directory, env });
  const [, url] = await runtime.until("stdout", /^tailrace ready (\S+)\n/m);
  const watching = { cwd: directory, env: { TAILRACE_SERVER: url as string } };
  const backend = new Started(process.execPath, ["backend.ts"], watching);
  await backend.until("stdout", /^4n custom\n/m);
  expect(backend.stdout.toString()).toBe("1n worker_created\n2n narration\n3n output\n4n custom\n".replace("_c", "C"));
  await backend.until("stderr", /caught_up/);
  expect(readFileSync(join(directory, "backend.ts"), "utf8")).toContain("fileCheckpoint");
  runtime.child.kill("SIGTERM");
  expect(await runtime.ended).toBe(0);
  await backend.until("stderr", /reconnecting/);
});

test("the commands run as they are", async () => {
  const directory = scratchDirectory();
  // The same command line as an installed one, and a server on a port of the test's own.
  const command = join(directory, "npx");
  writeFileSync(command, `#!/bin/sh\n[ "$1" = tailrace ] && shift && exec '${process.execPath}' '${entry}' "$@"\n`);
  chmodSync(command, 0o755);
  const blocks = shellBlocks().filter((block) => /^npx tailrace |^curl /m.test(block));
  expect(blocks).toHaveLength(2);
  const printed = blocks.join("");
  expect(printed).toMatch(/^npm run build .*\nnpx tailrace serve & /);
  const { url } = await startServe(["--listen", "127.0.0.1:0"], { cwd: directory });
  const script = printed
    .replace("npm run build", "")
    .replace("npx tailrace serve &", "")
    .replaceAll("7433", new URL(url).port)
    .replace("curl -N ", "curl -sN ")
    .replace("curl '", "curl -s '");
  const run = new Started("bash", ["-euc", script], {
    cwd: directory,
    env: { PATH: `${directory}:${process.env["PATH"]}` },
  });
  expect([await run.ended, run.stderr]).toEqual([0, expect.stringContaining("ended: succeeded, exit code 0")]);
  const output = run.stdout.toString();
  // Of the run itself, and of the watch.
  expect(output).toMatch(/^testing\nok\n/);
  expect(output).toMatch(/stdout {5}testing\n.*stdout {5}ok\n.*worker_ended {2}succeeded, exit code 0\n/);
  expect(output).toMatch(/^deploy +/m);
  expect(output).toMatch(/^event: output\n/m);
  expect(output).toMatch(/"workerId":\s?"tests"/);
});

test("every file that it points to is there", () => {
  const targets = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, target]) => target as string);
  expect(targets.length).toBeGreaterThan(4);
  for (const target of targets) expect(readPage(target).length).toBeGreaterThan(0);
});
