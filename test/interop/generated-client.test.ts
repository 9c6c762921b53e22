import { execFile } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { scratchDirectory } from "../support/scratch.ts";
import { checkout, environment, jsonValues, Program, sightingOfFrames } from "./program.ts";
import { watchLeaveResume } from "./scenario.ts";

const run = promisify(execFile);

/** What a backend that has nothing of ours but the proto files depends on. */
const dependencies = ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-node", "@types/node"];

/** A project with a client that was generated from the proto files alone, type-checked. */
async function project(): Promise<string> {
  const directory = scratchDirectory();
  cpSync(join(checkout, "proto/tailrace"), join(directory, "proto/tailrace"), { recursive: true });
  cpSync(join(import.meta.dirname, "consumer"), directory, { recursive: true });
  for (const name of dependencies) {
    const path = join(directory, "node_modules", name);
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(join(checkout, "node_modules", name), path);
  }
  writeFileSync(join(directory, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await run("buf", ["generate"], { cwd: directory, env: environment });
  await run("tsc", ["-p", "tsconfig.json"], { cwd: directory, env: environment });
  return directory;
}

it("a client that is generated from the proto alone is sound in its types, watches, vanishes and resumes", async () => {
  const directory = await project();
  await watchLeaveResume(
    (url, cursor) =>
      new Program({
        file: process.execPath,
        args: ["watch.ts", url, ...(cursor === undefined ? [] : [cursor])],
        cwd: directory,
        read: (stdout) => sightingOfFrames(jsonValues(stdout)),
        install: "npm ci installs it.",
      }),
  );
  const refused = new Program({
    file: process.execPath,
    args: ["watch.ts", "http://127.0.0.1:1", "none"],
    cwd: directory,
    read: (stdout) => sightingOfFrames(jsonValues(stdout)),
    install: "npm ci installs it.",
  });
  expect((await refused.rest()).code).toBe(1);
});
