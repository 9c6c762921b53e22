import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";

/** Resolves as a machine does where the optional dependencies were left out. */
const withoutConnect = `
  import { registerHooks } from "node:module";
  registerHooks({
    resolve(specifier, context, next) {
      if (specifier.startsWith("@connectrpc/")) {
        throw Object.assign(new Error("Cannot find package '" + specifier + "'"), { code: "ERR_MODULE_NOT_FOUND" });
      }
      return next(specifier, context);
    },
  });
`;

function importDoor(setUp: string): { error?: string; reason?: string; exports?: string[] } {
  const url = new URL("../../src/server/index.ts", import.meta.url).href;
  const script = `${setUp}
    const answer = await import(${JSON.stringify(url)}).then(
      (door) => ({ exports: Object.keys(door) }),
      (error) => ({ error: error.message, reason: error.reason }),
    );
    console.log(JSON.stringify(answer));`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout);
}

describe("the door tailrace/server", () => {
  it("opens where its packages are installed", () => {
    expect(importDoor("")).toEqual({ exports: ["createServer"] });
  });

  it("says what to install where they are not", () => {
    const { error, reason } = importDoor(withoutConnect);
    expect(reason).toBe("part_missing");
    expect(error).toMatch(/npm install @connectrpc\/connect@\S+ @connectrpc\/connect-node@/);
  });
});
