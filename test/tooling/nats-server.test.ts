import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scratchDirectory } from "../support/scratch.ts";

const original = join(import.meta.dirname, "../../scripts/nats-server.sh");

/** The script in a checkout of its own, with nothing on its path but these commands and what is put into `bin`. */
function checkout(commands: readonly string[]) {
  const root = scratchDirectory();
  const bin = join(root, "bin");
  const script = join(root, "scripts/nats-server.sh");
  mkdirSync(bin);
  cpSync(original, script);
  for (const command of ["bash", "dirname", ...commands]) {
    const where = spawnSync("/bin/sh", ["-c", `command -v ${command}`], { encoding: "utf8" });
    symlinkSync(where.stdout.trim(), join(bin, command));
  }
  const executable = (name: string, text: string) => {
    writeFileSync(join(bin, name), `#!${join(bin, "bash")}\n${text}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  const run = () => spawnSync(join(bin, "bash"), [script], { encoding: "utf8", env: { PATH: bin } });
  return { root, bin, executable, run };
}

test("one on the path that is new enough is taken", () => {
  for (const version of ["v2.12.0", "v2.15.2", "v3.0.0"]) {
    const { bin, executable, run } = checkout([]);
    executable("nats-server", `echo "nats-server: ${version}"`);
    expect(run()).toMatchObject({ status: 0, stdout: `${join(bin, "nats-server")}\n`, stderr: "" });
  }
});

test("without one and without Go it says how to get one, and fails", () => {
  const { executable, run } = checkout([]);
  for (const version of [undefined, "v2.11.9", "v1.20.0"]) {
    if (version !== undefined) executable("nats-server", `echo "nats-server: ${version}"`);
    const { status, stdout, stderr } = run();
    expect(stderr).toMatch(
      /^tailrace: the tests need nats-server 2\.12 or later.* Put nats-server .* install Go .*\n$/,
    );
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  }
});

test("Go builds it once, whole or not at all", () => {
  const { root, executable, run } = checkout(["mkdir", "mktemp", "mv", "rm", "chmod", "cat"]);
  executable("sleep", ":");
  executable("go", 'printf broken >"$GOBIN/nats-server"; exit 1');
  const failed = run();
  expect(failed).toMatchObject({ status: 1, stdout: "" });
  expect(failed.stderr).toMatch(/tailrace: nats-server could not be built\. Put /);
  const server = `#!${join(root, "bin/bash")}\\necho nats-server: v2.15.2\\n`;
  executable("go", `printf '${server}' >"$GOBIN/nats-server"; chmod 755 "$GOBIN/nats-server"`);
  const built = run();
  expect(built).toMatchObject({ status: 0 });
  expect(built.stdout.startsWith(join(root, "node_modules/.cache/nats-server/"))).toBe(true);
  executable("go", "exit 1");
  expect(run()).toMatchObject({ status: 0, stdout: built.stdout, stderr: "" });
});
