import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { scratchDirectory } from "../support/scratch.ts";

const check = join(import.meta.dirname, "../../scripts/check-imports.ts");

const room = { note: "A note.", rooms: [] as string[], packages: [] as string[], node: false };

const rules = {
  roots: ["src"],
  rooms: {
    "src/base": room,
    "src/log": { ...room, rooms: ["src/base"] },
    "src/log/disk": { ...room, rooms: ["src/log"], packages: ["@scope/part"], node: true },
    "src/wire": { ...room, types: ["src/log"] },
    "src/index.ts": { ...room, rooms: ["*"] },
  },
  closures: [{ entry: "src/index.ts", forbidden: ["@scope/*", "node:fs"], note: "The door stays light." }],
};

/** A checkout that keeps its rules; each test breaks one thing of it. */
const sound = {
  "src/base/errors.ts": "export class Failure extends Error {}\n",
  "src/log/contract.ts": 'import { Failure } from "../base/errors.ts";\nexport interface Log { failure: Failure }\n',
  "src/log/disk/disk.ts": 'import "node:fs";\nimport "@scope/part/deep";\nimport type { Log } from "../contract.ts";\n',
  "src/wire/form.ts": 'import type { Log } from "../log/contract.ts";\nexport type Form = Log;\n',
  "src/index.ts": 'export { Failure } from "./base/errors.ts";\n',
};

function checkCheckout(changes: Record<string, string>, table: unknown = rules, lose?: string) {
  const root = scratchDirectory();
  const files = { ...sound, ...changes, "import-rules.json": JSON.stringify(table) };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  for (const args of [
    ["init", "--quiet"],
    ["add", "."],
  ]) {
    const git = spawnSync("git", args, { cwd: root, encoding: "utf8" });
    expect(git.stderr).toBe("");
  }
  if (lose !== undefined) rmSync(join(root, lose));
  const { status, stdout, stderr } = spawnSync(process.execPath, [check, root], { encoding: "utf8" });
  return { status, said: stdout + stderr };
}

describe("check-imports", () => {
  test("passes a checkout that keeps its rules, and says how much it saw", () => {
    const { status, said } = checkCheckout({});
    expect(said).toContain("5 files, 6 imports");
    expect(status).toBe(0);
  });

  const broken: [name: string, changes: Record<string, string>, expected: string][] = [
    [
      "a room that is not allowed",
      { "src/base/errors.ts": 'import type { Log } from "../log/contract.ts";\nexport class Failure { log?: Log }\n' },
      "src/base/errors.ts:1: src/base may not import src/log (../log/contract.ts). A note.",
    ],
    [
      "an outer room reaching into an inner one that it may not import",
      { "src/log/contract.ts": 'export * from "./disk/disk.ts";\n' },
      "src/log/contract.ts:1: src/log may not import src/log/disk",
    ],
    [
      "a value where only types are allowed",
      { "src/wire/form.ts": '\n\nimport { Log } from "../log/contract.ts";\n' },
      "src/wire/form.ts:3: src/wire may import only types of src/log: write `import type`",
    ],
    [
      "an inline type, which still loads the module",
      { "src/wire/form.ts": 'import { type Log } from "../log/contract.ts";\nexport type Form = Log;\n' },
      "src/wire may import only types of src/log",
    ],
    ["a node: module", { "src/base/errors.ts": 'import "node:fs";\n' }, "src/base may not import node: modules"],
    [
      "a package",
      { "src/log/contract.ts": 'import { part } from "@scope/part/deep";\n' },
      "src/log may not import the package @scope/part (@scope/part/deep)",
    ],
    [
      "a package whose name only begins like an allowed one",
      { "src/log/disk/disk.ts": 'import "@scope/partial";\n' },
      "src/log/disk may not import the package @scope/partial",
    ],
    [
      "import() like any import",
      { "src/base/errors.ts": 'export const later = () => import("../log/contract.ts");\n' },
      "src/base/errors.ts:1: src/base may not import src/log",
    ],
    [
      "a type by import()",
      { "src/base/errors.ts": 'export type Later = import("../log/contract.ts").Log;\n' },
      "src/base/errors.ts:1: src/base may not import src/log",
    ],
    [
      "a Worker's module",
      { "src/base/errors.ts": 'export const url = new URL("../log/contract.ts", import.meta.url);\n' },
      "src/base/errors.ts:1: src/base may not import src/log",
    ],
    [
      "an import() that nobody can check",
      { "src/base/errors.ts": "export const load = (name: string) => import(name);\n" },
      "src/base/errors.ts:1: what is imported must be written as a string",
    ],
    [
      "a file that does not exist",
      { "src/base/errors.ts": 'import "./gone.ts";\n' },
      "there is no file src/base/gone.ts under src",
    ],
    [
      "a room that is not listed",
      { "src/relay/relay.ts": "export {};\n" },
      "src/relay/relay.ts: no room of import-rules.json holds this file",
    ],
    [
      "a cycle between files",
      {
        "src/base/a.ts": 'import "./b.ts";\n',
        "src/base/b.ts": 'export * from "./c.ts";\n',
        "src/base/c.ts": 'import "./a.ts";\n',
      },
      "cycle: src/base/a.ts -> src/base/b.ts -> src/base/c.ts -> src/base/a.ts",
    ],
    [
      "what a door must not reach, with the way there",
      { "src/index.ts": 'export const load = () => import("./log/disk/disk.ts");\n' },
      "src/index.ts must not reach @scope/part/deep: src/index.ts -> src/log/disk/disk.ts -> @scope/part/deep",
    ],
  ];
  test.each(broken)("refuses %s", (_name, changes, expected) => {
    const { status, said } = checkCheckout(changes);
    expect(said).toContain(expected);
    expect(status).toBe(1);
  });

  test("types and import() close no cycle", () => {
    const { status } = checkCheckout({
      "src/base/a.ts": 'import "./b.ts";\n',
      "src/base/b.ts": 'import type {} from "./a.ts";\nexport const load = () => import("./a.ts");\n',
    });
    expect(status).toBe(0);
  });

  test("fails when it sees less than git tracks", () => {
    const { status, said } = checkCheckout({ "src/base/extra.ts": "export {};\n" }, rules, "src/base/extra.ts");
    expect(said).toContain("src/base/extra.ts: tracked by git, but the check did not see it");
    expect(status).toBe(1);
  });

  test("fails when the rules name a room or an entry that does not exist", () => {
    const table = {
      ...rules,
      rooms: { ...rules.rooms, "src/base": { ...room, rooms: ["src/bass"] } },
      closures: [{ entry: "src/door.ts", forbidden: [], note: "" }],
    };
    const { status, said } = checkCheckout({}, table);
    expect(said).toContain("rules of src/base: there is no room src/bass");
    expect(said).toContain("src/door.ts: named in closures, but there is no such file");
    expect(status).toBe(1);
  });
});
