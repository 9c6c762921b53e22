import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scratchDirectory } from "../support/scratch.ts";

const entry = join(import.meta.dirname, "../../scripts/entry.js");

test("accepts the Node of the checkout", () => {
  const { status, stderr } = spawnSync(process.execPath, [entry], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});

test("refuses a Node that lies outside the checkout, and says what to run", () => {
  const other = scratchDirectory();
  mkdirSync(join(other, "scripts"));
  writeFileSync(join(other, "package.json"), '{"type":"module"}');
  copyFileSync(entry, join(other, "scripts/entry.js"));
  const { status, stderr } = spawnSync(process.execPath, [join(other, "scripts/entry.js")], { encoding: "utf8" });
  expect(stderr).toContain("Run `npm ci`");
  expect(status).toBe(1);
});

test("refuses a SQLite that loses data", () => {
  const older = "Object.defineProperty(process.versions, 'sqlite', { value: '3.51.2' });";
  const preload = join(scratchDirectory(), "older.cjs");
  writeFileSync(preload, older);
  const { status, stderr } = spawnSync(process.execPath, ["--require", preload, entry], { encoding: "utf8" });
  expect(stderr).toContain("carries SQLite 3.51.2; 3.51.3 or later is needed");
  expect(status).toBe(1);
});
