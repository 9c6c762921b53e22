import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { entry, Started, startServe } from "../cli/support.ts";
import { readPage, writeFilesOf } from "../support/pages.ts";
import { scratchDirectory } from "../support/scratch.ts";

const guide = readPage("docs/guides/run-a-job.md");
const files = ["tailrace.json", "build.sh", "runtime.ts", "follow.ts"];

test("the commands run as they are", async () => {
  const directory = scratchDirectory();
  expect(writeFilesOf(guide, directory)).toEqual(files);
  // The same command line as an installed one, and a server on a port of the test's own.
  const command = join(directory, "tailrace");
  writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${entry}' "$@"\n`);
  chmodSync(command, 0o755);
  const blocks = [...guide.matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map(([, block]) => block as string);
  expect(blocks).toHaveLength(2);
  const printed = blocks.join("");
  expect(printed).toMatch(/^tailrace serve --config tailrace.json & /);
  const env = { PATH: `${directory}:${process.env["PATH"]}` };
  const { url } = await startServe(["--config", "tailrace.json", "--listen", "127.0.0.1:0"], { cwd: directory, env });
  const script = printed.replace("tailrace serve --config tailrace.json &", "").replaceAll("7433", new URL(url).port);
  const run = new Started("bash", ["-euc", script], { cwd: directory, env: { ...env, TAILRACE_SERVER: url } });
  expect([await run.ended, run.stderr]).toEqual([0, expect.stringMatching(/^tailrace: job \S+ succeeded/m)]);
  const output = run.stdout.toString();
  expect(output).toMatch(/^compiled file-1\ncompiled file-2\n/);
  expect(output).toMatch(/ narration +prepare: building wheels\n/);
  expect(output).toMatch(/ progress +3 of 3 files\n/);
  expect(output).toMatch(/^state +succeeded\n/m);
  expect(output).toMatch(/^JOB +OPERATION +STATE/m);
  expect(output).toMatch(/^data: .*building body/m);
  expect(output).toMatch(/^data: \[DONE\]$/m);
  expect(output).toMatch(/^event: stream_ended|^event: diagnostic/m);
});

test("the programs run as they are", async () => {
  const directory = scratchDirectory();
  expect(writeFilesOf(guide, directory)).toEqual(files);
  const runtime = new Started(process.execPath, ["runtime.ts"], { cwd: directory, env: { LISTEN: "127.0.0.1:0" } });
  const [, url] = await runtime.until("stdout", /^runtime at (\S+)\n/m);
  const env = { RUNTIME_URL: url as string };
  const follow = new Started(process.execPath, ["follow.ts"], { cwd: directory, env });
  expect([await follow.ended, follow.stderr]).toEqual([0, ""]);
  const lines = follow.stdout.toString().trim().split("\n");
  const steps = [1, 2, 3, 4, 5].flatMap((number) => [`grape ${number}`, `${number} of 5`]);
  expect(lines.filter((line) => /^grape| of /.test(line))).toEqual(steps);
  expect(lines.at(-1)).toMatch(/^succeeded/);

  // So many that it is still at it when the signal comes, however slowly this test gets on.
  const long = { cwd: directory, env: { ...env, GRAPES: "1000000" } };
  const interrupted = new Started(process.execPath, ["follow.ts"], long);
  await interrupted.until("stdout", /^grape 1\n/m);
  interrupted.child.kill("SIGINT");
  expect(await interrupted.ended).toBe(1);
  expect(interrupted.stdout.toString()).toMatch(/^cancelled cancel_requested/m);
});

test("every file that it points to is there", () => {
  const targets = [...guide.matchAll(/\]\(([^)#:]+)[^)]*\)/g)].map(([, target]) => target as string);
  expect(targets.length).toBeGreaterThan(0);
  for (const target of targets) expect(readPage(join("docs/guides", target)).length).toBeGreaterThan(0);
});
