import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";
import { entry, Started } from "./support.ts";

/** The entry as it is, in a process whose versions are others. Nothing else of ours may load there. */
function start(versions: Record<string, unknown>): Started {
  const source = stripTypeScriptTypes(readFileSync(entry, "utf8").replace(/^#!.*\n/, ""), { mode: "strip" });
  const disguise = Object.entries(versions)
    .map(
      ([name, value]) =>
        `Object.defineProperty(process, ${JSON.stringify(name)}, { value: ${JSON.stringify(value)} });`,
    )
    .join("\n");
  return new Started(process.execPath, ["--input-type=module", "-e", `${disguise}\n${source}`], {
    cwd: join(entry, ".."),
  });
}

test("a Node that is too old is told so before anything is loaded", async () => {
  const old = start({ version: "v20.20.2" });
  expect(await old.ended).toBe(1);
  expect(old.stderr).toBe(
    "tailrace needs Node 24.15 or later, and this is v20.20.2. Install a newer Node (https://nodejs.org).\n",
  );
  const almost = start({ version: "v24.14.9" });
  expect(await almost.ended).toBe(1);
  expect(almost.stderr).toContain("needs Node 24.15");
});

test("a Node whose SQLite loses data is told so", async () => {
  const bad = start({ version: "v26.0.0", versions: { ...process.versions, sqlite: "3.51.2" } });
  expect(await bad.ended).toBe(1);
  expect(bad.stderr).toMatch(/SQLite 3\.51\.3 or later .* this one has 3\.51\.2/);
});
