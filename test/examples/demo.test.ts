import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Started, shell } from "../cli/support.ts";

const root = join(import.meta.dirname, "../..");
const demo = join(root, "examples/demo.ts");

function left(): string[] {
  try {
    return readdirSync(join(root, ".demo"));
  } catch {
    return [];
  }
}

function count(text: string, what: string): number {
  return Number(new RegExp(`^  ${what} +(\\d+)$`, "m").exec(text)?.[1]);
}

test("the demo kills its watcher and loses nothing; then what it prints works as printed", async () => {
  const before = left();
  const run = new Started(process.execPath, [demo]);
  await run.until("stdout", /^tailrace ready .*\n/m);
  const own = left().filter((name) => !before.includes(name));
  expect(own.length).toBeGreaterThan(0);
  await run.until("stdout", /npx tailrace watch .*\n/);
  const text = run.stdout.toString();
  expect(text.match(/watcher killed \(SIGKILL\)/g)).toHaveLength(2);
  // Killed when 80 were seen, back when 60 more were written, killed when 80 more were seen, and again 60 were missed.
  expect(count(text, "events written")).toBeGreaterThanOrEqual(80 + 80 + 60);
  expect(count(text, "events seen")).toBe(count(text, "events written"));
  expect(count(text, "events seen twice")).toBe(0);
  expect(count(text, "events lost")).toBe(0);

  const [curl, buf, watch] = (["curl", "npx buf curl", "npx tailrace watch"] as const).map(
    (begin) =>
      text
        .split("\n")
        .find((line) => line.startsWith(`  ${begin} `))
        ?.trim() as string,
  ) as [string, string, string];
  // npx finds what the checkout has; only the build of the command line is left out here.
  const local = `npx() { if [ "$1" = tailrace ]; then shift; tailrace "$@"; else "$PWD/node_modules/.bin/$@"; fi; }`;
  const sse = shell(`${curl} -s | head -n 3`);
  expect(await sse.ended).toBe(0);
  expect(sse.stdout.toString()).toMatch(/^event: opened\n/m);
  const connect = shell(`${local}\n${buf}`);
  expect(await connect.ended).toBe(0);
  expect(connect.stdout.toString()).toContain('"workerEnded"');
  const follow = shell(`${local}\n${watch} | head -n 10`);
  expect(await follow.ended).toBe(0);
  expect(follow.stdout.toString().trimEnd().split("\n")).toHaveLength(10);

  run.child.kill("SIGINT");
  expect(await run.ended).toBe(0);
  expect(left().filter((name) => own.includes(name))).toEqual([]);
}, 900_000);
