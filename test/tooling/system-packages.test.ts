import { spawnSync } from "node:child_process";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scratchDirectory } from "../support/scratch.ts";

const script = join(import.meta.dirname, "../../scripts/system-packages.sh");

test("a system that lacks something, where installing is not ours to do, is told what to install", () => {
  const path = scratchDirectory();
  // No apt-get on this path, as on a system that is not Debian.
  for (const command of ["bash", "id"]) {
    const where = spawnSync("/bin/sh", ["-c", `command -v ${command}`], { encoding: "utf8" });
    symlinkSync(where.stdout.trim(), join(path, command));
  }
  const { status, stderr } = spawnSync(join(path, "bash"), [script], { encoding: "utf8", env: { PATH: path } });
  expect(stderr).toMatch(/tailrace: the tests need curl .*which this system lacks/);
  expect(stderr).toMatch(/sudo apt-get install curl /);
  expect(status).toBe(1);
});

test("a system that has everything is left alone", () => {
  const { status, stdout, stderr } = spawnSync("bash", [script], { encoding: "utf8" });
  expect(stdout + stderr).toBe("");
  expect(status).toBe(0);
});
