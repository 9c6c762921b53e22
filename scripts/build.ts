// Compiles src/ and gen/ into dist/. The old dist/ stays in place until the new one is whole, so that a command that
// runs from it meanwhile never sees half a build.
import { chmod, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { checkout, run } from "./process.ts";

const SOURCES = ["src", "gen", "package.json", "tsconfig.json", "tsconfig.build.json"];
const STAMP = "src/index.js";

const dist = join(checkout, "dist");

/** Newest change below a path, in milliseconds since the epoch. A directory's own time tells of removed files. */
async function newestChange(path: string): Promise<number> {
  const entry = await stat(path);
  if (!entry.isDirectory()) return entry.mtimeMs;
  const below = await Promise.all((await readdir(path)).map((name) => newestChange(join(path, name))));
  return Math.max(entry.mtimeMs, ...below);
}

async function isFresh(): Promise<boolean> {
  const built = await stat(join(dist, STAMP)).catch(() => undefined);
  if (built === undefined) return false;
  const changed = await Promise.all(SOURCES.map((source) => newestChange(join(checkout, source))));
  return built.mtimeMs > Math.max(...changed);
}

async function build(): Promise<number> {
  const fresh = join(checkout, `dist.${process.pid}.new`);
  const old = join(checkout, `dist.${process.pid}.old`);
  try {
    await mkdir(fresh);
    const status = await run("tsc", ["-p", "tsconfig.build.json", "--outDir", fresh]);
    if (status !== 0) return status;
    await chmod(join(fresh, "src/cli/main.js"), 0o755);
    await rename(dist, old).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    await rename(fresh, dist);
    return 0;
  } finally {
    await rm(fresh, { recursive: true, force: true });
    await rm(old, { recursive: true, force: true });
  }
}

const onlyIfStale = process.argv.includes("--if-stale");
if (!(onlyIfStale && (await isFresh()))) process.exitCode = await build();
