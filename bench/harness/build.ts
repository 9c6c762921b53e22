import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { BenchError } from "./bench-error.ts";

/** Builds the programs in C of a folder, into the directory of this run. Returns the path of the program. */
export function buildProgram(folder: "load" | "limit", directory: string): string {
  const source = join(import.meta.dirname, "..", folder);
  const files = readdirSync(source).filter((name) => name.endsWith(".c"));
  const program = join(directory, `bench-${folder}`);
  const compiler = spawnSync(
    "gcc",
    ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", program, ...files.map((name) => join(source, name))],
    { encoding: "utf8" },
  );
  if (compiler.error !== undefined) throw new BenchError("gcc is missing: run bench/system-packages.sh as root");
  if (compiler.status !== 0) throw new BenchError(`bench/${folder} does not compile:\n${compiler.stderr}`);
  return program;
}

/** A directory for everything that a run writes, in memory where there is a tmpfs, so that a disk is not what is measured. */
export function temporaryDirectory(root: string): string {
  return mkdtempSync(join(root, "tailrace-bench-"));
}
