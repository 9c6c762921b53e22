// The newer Node that must pass too. It lies below node_modules, in a folder of its own: its package has the name of
// the pinned one, and `npm ci` clears it away with the rest.
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkout, output } from "./process.ts";

/** Version of the npm package `node`. */
export const OTHER_NODE = "26.10.0";

/** Installs it where it is missing. Returns the directory that holds its `node`, for the front of PATH. */
export async function otherNodeDirectory(): Promise<string> {
  const home = join(checkout, "node_modules/.cache", `node-${OTHER_NODE}`);
  const directory = join(home, "node_modules/node/bin");
  const installed = await stat(join(directory, "node")).catch(() => undefined);
  if (installed !== undefined) return directory;
  await mkdir(home, { recursive: true });
  // npm runs no install script that is not allowed by name, and this package gets its binary by one.
  await writeFile(join(home, "package.json"), JSON.stringify({ private: true, allowScripts: { node: true } }));
  await output("npm", ["install", "--fetch-retries=5", "--no-save", "--no-package-lock", `node@${OTHER_NODE}`], {
    cwd: home,
  });
  const version = await output(join(directory, "node"), ["--version"]);
  if (version.trim() !== `v${OTHER_NODE}`) throw new Error(`node@${OTHER_NODE} installed Node ${version}`);
  return directory;
}
