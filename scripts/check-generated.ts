// Fails when gen/ is not what the generator makes of proto/ today: generated code is committed, never edited.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkout, run } from "./process.ts";

async function filesBelow(directory: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(directory.length + 1), await readFile(path, "utf8"));
  }
  return files;
}

function differences(expected: Map<string, string>, committed: Map<string, string>): string[] {
  const found: string[] = [];
  for (const [path, text] of expected) {
    if (!committed.has(path)) found.push(`missing: gen/${path}`);
    else if (committed.get(path) !== text) found.push(`differs: gen/${path}`);
  }
  for (const path of committed.keys()) if (!expected.has(path)) found.push(`not generated: gen/${path}`);
  return found;
}

const scratch = await mkdtemp(join(tmpdir(), "tailrace-generated-"));
try {
  const status = await run("buf", ["generate", "--output", scratch]);
  if (status !== 0) {
    process.exitCode = status;
  } else {
    const expected = await filesBelow(join(scratch, "gen"));
    const found = differences(expected, await filesBelow(join(checkout, "gen")));
    if (expected.size === 0) found.push("the generator made no file");
    if (found.length > 0) {
      console.error(
        `${found.join("\n")}\ngen/ is not what proto/ generates: run \`npm run generate\` and commit the result.`,
      );
      process.exitCode = 1;
    } else {
      console.log(`gen/ is what proto/ generates (${expected.size} files)`);
    }
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
