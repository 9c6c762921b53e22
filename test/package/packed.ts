import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { otherNodeDirectory } from "../../scripts/other-node.ts";
import { checkout, output } from "../../scripts/process.ts";

/** The Nodes that the package must work on, each by the directory to put first on PATH. */
export async function supportedNodes(): Promise<{ name: string; directory: string }[]> {
  return [
    { name: "lowest", directory: dirname(process.execPath) },
    { name: "newest", directory: await otherNodeDirectory() },
  ];
}

/** The environment of this process with a Node first on PATH, and nothing of the npm or the tests that started it. */
export function environment(nodeDirectory: string): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_COMPILE_CACHE$)/i.test(name));
  return { ...Object.fromEntries(entries), PATH: `${nodeDirectory}${delimiter}${process.env["PATH"]}` };
}

/** Builds what is stale and packs it into a directory. Returns the tarball and the paths inside it. */
export async function pack(directory: string): Promise<{ tarball: string; paths: string[] }> {
  await output(process.execPath, ["scripts/build.ts", "--if-stale"]);
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", directory];
  const [packed] = JSON.parse(await output("npm", args)) as { filename: string; files: { path: string }[] }[];
  if (packed === undefined) throw new Error("npm pack made nothing");
  return { tarball: join(directory, packed.filename), paths: packed.files.map((file) => file.path) };
}

/** Makes an empty directory into a project that has the package installed, and the scripts of consumer/. npm runs on the given Node. */
export async function install(directory: string, tarball: string, nodeDirectory: string, ...args: string[]) {
  writeFileSync(join(directory, "package.json"), JSON.stringify({ private: true, type: "module" }));
  cpSync(join(import.meta.dirname, "consumer"), directory, { recursive: true });
  await output(
    "npm",
    ["install", "--prefer-offline", "--fetch-retries=5", "--no-audit", "--no-fund", ...args, tarball],
    {
      cwd: directory,
      env: environment(nodeDirectory),
    },
  );
}

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a command in a project on a Node, to its end. */
export async function runOn(nodeDirectory: string, cwd: string, command: string, ...args: string[]): Promise<Outcome> {
  const child = spawn(command, args, { cwd, env: environment(nodeDirectory), stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [status] = (await once(child, "close")) as [number | null];
  return { status, stdout, stderr };
}

/** A tool of the checkout. */
export const tool = (name: string): string => join(checkout, "node_modules/.bin", name);
