import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, expect, test } from "vitest";
import { scratchDirectory } from "../support/scratch.ts";

const checkout = join(import.meta.dirname, "../..");
const event = "proto/tailrace/v1/event.proto";

/** A checkout whose event.proto is changed. */
function checkoutWith(change: (text: string) => string): string {
  const root = scratchDirectory();
  for (const name of ["proto", "gen", "buf.yaml", "buf.gen.yaml", "scripts", "package.json"]) {
    cpSync(join(checkout, name), join(root, name), { recursive: true });
  }
  symlinkSync(join(checkout, "node_modules"), join(root, "node_modules"));
  const text = readFileSync(join(root, event), "utf8");
  const changed = change(text);
  writeFileSync(join(root, event), changed);
  return root;
}

function runIn(root: string, command: string, ...args: string[]) {
  const path = `${join(checkout, "node_modules/.bin")}${delimiter}${process.env["PATH"]}`;
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, PATH: path },
    encoding: "utf8",
  });
  return { status, said: stdout + stderr };
}

const breaking = ["breaking", "--against", "proto/baseline.binpb"];
const withoutWorkerId = (text: string) => text.replaceAll(/^ *string worker_id = 6;\n/gm, "");

describe("checks of the contract", () => {
  test("pass the contract as it is", () => {
    const root = checkoutWith((text) => text);
    expect(runIn(root, "buf", ...breaking)).toEqual({ status: 0, said: "" });
    expect(runIn(root, process.execPath, "scripts/check-generated.ts").said).toContain("gen/ is what proto/ generates");
  });

  test("a removed field breaks the baseline, and gen/ is no longer what is generated", () => {
    const root = checkoutWith(withoutWorkerId);
    const { status, said } = runIn(root, "buf", ...breaking);
    expect(said).toMatch(/field "6" with name "worker_id" on message "Event"/);
    expect(status).not.toBe(0);
    const generated = runIn(root, process.execPath, "scripts/check-generated.ts");
    expect(generated.said).toContain("differs: gen/tailrace/v1/event_pb.ts");
    expect(generated.status).toBe(1);
  });

  test("generated code that was edited, added or lost is found", () => {
    const root = checkoutWith((text) => text);
    writeFileSync(join(root, "gen/tailrace/v1/extra_pb.ts"), "export {};\n");
    writeFileSync(join(root, "gen/tailrace/v1/event_pb.ts"), "export {};\n");
    const { status, said } = runIn(root, process.execPath, "scripts/check-generated.ts");
    expect(said).toContain("not generated: gen/tailrace/v1/extra_pb.ts");
    expect(said).toContain("differs: gen/tailrace/v1/event_pb.ts");
    expect(status).toBe(1);
  });

  test("a field without a comment fails the lint", () => {
    const root = checkoutWith((text) => text.replace(/^message Event \{\n(\s*\/\/.*\n)+/m, "message Event {\n"));
    const { status, said } = runIn(root, "buf", "lint");
    expect(said).toContain("should have a non-empty comment for documentation");
    expect(status).not.toBe(0);
  });
});
