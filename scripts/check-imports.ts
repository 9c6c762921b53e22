// Holds the imports of src/ and gen/ against import-rules.json. Takes the checkout to look at as an argument, which is
// how its own test gives it broken ones.
import { readdir, readFile } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { type ImportOf, importsOf } from "./imports/parse.ts";
import { type ImportRules, problems } from "./imports/rules.ts";
import { checkout, output } from "./process.ts";

const root = resolve(process.argv[2] ?? checkout);
const rules = JSON.parse(await readFile(join(root, "import-rules.json"), "utf8")) as ImportRules;

const isSource = (path: string): boolean => /\.[cm]?[jt]sx?$/.test(path);

async function importsByFile(): Promise<Map<string, ImportOf[]>> {
  const files = new Map<string, ImportOf[]>();
  for (const directory of rules.roots) {
    for (const entry of await readdir(join(root, directory), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !isSource(entry.name)) continue;
      const path = join(entry.parentPath, entry.name);
      const name = relative(root, path).replaceAll(sep, "/");
      try {
        files.set(name, importsOf(await readFile(path, "utf8")));
      } catch (error) {
        throw new Error(`${name} cannot be parsed: ${(error as Error).message}`, { cause: error });
      }
    }
  }
  return files;
}

/** Files that git tracks and that the walk did not meet: a check that sees less than there is passes for nothing. */
async function unseen(files: ReadonlyMap<string, unknown>): Promise<string[]> {
  const tracked = await output("git", ["ls-files", "-z", "--", ...rules.roots], { cwd: root });
  return tracked.split("\0").filter((path) => isSource(path) && !files.has(path));
}

const files = await importsByFile();
const found = [
  ...(await unseen(files)).map((path) => `${path}: tracked by git, but the check did not see it`),
  ...(files.size === 0 ? [`no file under ${rules.roots.join(", ")}: the check saw nothing`] : []),
  ...problems(files, rules),
];
if (found.length > 0) {
  console.error(found.join("\n"));
  console.error(`${found.length} problem${found.length === 1 ? "" : "s"}; the rules are in import-rules.json`);
  process.exitCode = 1;
} else {
  const count = [...files.values()].reduce((sum, imports) => sum + imports.length, 0);
  console.log(`${files.size} files, ${count} imports: all as import-rules.json allows`);
}
