import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { limits } from "../../src/base/limits.ts";
import { natsOptions } from "../../src/cli/options/nats-options.ts";
import { tailrace } from "../cli/support.ts";

const directory = join(import.meta.dirname, "../../docs/guides");
const guide = readFileSync(join(directory, "scaling.md"), "utf8");

test("what the guide links to is there", () => {
  const targets = [...guide.matchAll(/\]\(([^)#]+)(#[^)]*)?\)/g)].map(([, target]) => target as string);
  expect(targets).not.toHaveLength(0);
  expect(targets.filter((target) => !existsSync(join(directory, target)))).toEqual([]);
});

test("the options that the guide names are those that there are", async () => {
  const help = [tailrace(["serve", "--help"]), tailrace(["migrate", "--help"])];
  for (const command of help) expect(await command.ended).toBe(0);
  const there = new Set(help.flatMap(({ stdout }) => stdout.toString().match(/--[a-z][a-z-]+/g) ?? []));
  const named = new Set(guide.match(/--[a-z][a-z-]+/g));
  const ofPublish = ["--server", "--worker", "--text"];
  expect([...named].filter((option) => !there.has(option) && !ofPublish.includes(option))).toEqual([]);
  for (const option of Object.keys(natsOptions)) expect([option, named.has(`--${option}`)]).toEqual([option, true]);
});

test("the limits that the guide names are those that there are", () => {
  const rows = [...guide.matchAll(/^\| `(\w+)` \| ([\d,]+)[^|]*\|/gm)];
  expect(rows.length).toBeGreaterThan(10);
  const named = rows.map(([, name, value]) => [name, Number(value?.replaceAll(",", ""))]);
  expect(named).toEqual(named.map(([name]) => [name, limits[name as keyof typeof limits]]));
});
