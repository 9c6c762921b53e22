import { describe, expect, test } from "vitest";
import { type OperationConfig, readOperations } from "../../../src/cli/operations/config.ts";
import type { Params } from "../../../src/cli/operations/params.ts";
import { WrongConfig } from "../../../src/cli/operations/wrong-config.ts";

const clone = {
  command: ["git", "clone", "--depth", "{depth}", "{url}"],
  params: {
    url: { type: "string", pattern: "^https://" },
    depth: { type: "integer", minimum: 1, default: 1 },
  },
};

async function one(operation: Record<string, unknown>): Promise<OperationConfig> {
  const [read] = await readOperations({ it: operation }, "/base");
  return read as OperationConfig;
}

async function mistake(operations: unknown): Promise<string> {
  try {
    await readOperations(operations, "/base");
  } catch (error) {
    if (!(error instanceof WrongConfig)) throw error;
    return `${error.path.join(".")}: ${error.message}`;
  }
  return "accepted";
}

function check(operation: OperationConfig, value: unknown): string[] | Params {
  const result = operation.params["~standard"].validate(value);
  if (result instanceof Promise) throw new Error("it is asynchronous");
  return result.issues === undefined
    ? result.value
    : result.issues.map(({ path, message }) => `${path?.join(".")}: ${message}`);
}

test("everything that is declared is read, with units", async () => {
  const read = await one({
    ...clone,
    description: "clones",
    cwd: "work",
    env: { LANG: "C" },
    concurrency: 2,
    queueDepth: 10,
    timeouts: { total: "10m", idle: 1500, queue: "1h" },
    cancelGrace: "5s",
  });
  expect(read).toMatchObject({
    name: "it",
    description: "clones",
    cwd: "/base/work",
    env: { LANG: "C" },
    concurrency: 2,
    queueDepth: 10,
    timeouts: { totalMs: 600_000, idleMs: 1_500, queueMs: 3_600_000 },
    cancelGraceMs: 5_000,
  });
  expect(await one({ command: ["true"] })).toMatchObject({ cwd: undefined, timeouts: {}, cancelGraceMs: 10_000 });
});

test("mistakes are named by their key", async () => {
  const op = (operation: Record<string, unknown>) => ({ it: operation });
  const param = (schema: unknown) => op({ command: ["p", "{x}"], params: { x: schema } });
  const cases: [operations: unknown, says: string][] = [
    [[], "operations: it must be an object"],
    [{ it: 3 }, "operations.it: it must be an object"],
    [{ "": { command: ["p"] } }, "operations.: the name of an operation"],
    [op({}), "operations.it.command: it must be the program"],
    [op({ command: "git clone" }), "operations.it.command: it must be the program"],
    [op({ command: [] }), "operations.it.command: it must be the program"],
    [op({ command: ["p", 3] }), "operations.it.command.1: it must be a text"],
    [op({ command: ["p", "{a"] }), 'operations.it.command.1: "{a" has a single "{"'],
    [op({ command: ["p", "{url}"] }), 'operations.it.command.1: "{url}" is no parameter'],
    [op({ command: ["{x}"], params: { x: { type: "string" } } }), "operations.it.command.0: the program can't be"],
    [op({ command: ["p"], params: { x: { type: "string" } } }), 'operations.it.command: the parameter "x" is declared'],
    [op({ command: ["p"], comand: 1 }), 'operations.it.comand: there is no such key; did you mean "command"?'],
    [op({ command: ["p"], cancel_grace: "1s" }), 'did you mean "cancelGrace"?'],
    [
      op({ command: ["p"], timeouts: { totl: "1s" } }),
      'operations.it.timeouts.totl: there is no such key; did you mean "t',
    ],
    [op({ command: ["p"], timeouts: { total: "soon" } }), 'operations.it.timeouts.total: "soon" is no length of time'],
    [op({ command: ["p"], timeouts: { idle: 0 } }), "operations.it.timeouts.idle: it must be at least 1ms"],
    [op({ command: ["p"], concurrency: 0 }), "operations.it.concurrency: "],
    [op({ command: ["p"], concurrency: "2" }), "operations.it.concurrency: it must be a number"],
    [op({ command: ["p"], queueDepth: 1.5 }), "operations.it.queueDepth: "],
    [op({ command: ["p"], cwd: 3 }), "operations.it.cwd: it must be a text"],
    [op({ command: ["p"], env: { "A=B": "x" } }), "operations.it.env.A=B: "],
    [op({ command: ["p"], env: { A: 3 } }), "operations.it.env.A: it must be a text"],
    [op({ command: ["p"], env: { TAILRACE_JOB_ID: "x" } }), "operations.it.env.TAILRACE_JOB_ID: these variables"],
    [op({ command: ["p", "{x}"], params: { "x y": {} } }), "operations.it.params.x y: the name of a parameter"],
    [param("string"), "operations.it.params.x: it must be an object"],
    [param({ type: "strin" }), "operations.it.params.x: it is no JSON Schema"],
    [param({ type: "string", patern: "x" }), "operations.it.params.x: it is no JSON Schema"],
    [param({ type: "string", pattern: "(" }), "operations.it.params.x: it is no JSON Schema"],
    // Nothing checks formats; a declaration that relies on one must not look as if something did.
    [param({ type: "string", format: "uri" }), "operations.it.params.x: it is no JSON Schema"],
    [param({ type: "integer", default: "one" }), "operations.it.params.x.default: it must be integer"],
    [
      param({ type: "string", allowLeadingDash: 1 }),
      "operations.it.params.x.allowLeadingDash: it must be true or false",
    ],
  ];
  for (const [operations, says] of cases) expect(await mistake(operations)).toContain(says);
});

describe("parameters", () => {
  test("are completed with defaults, and become the command", async () => {
    const operation = await one(clone);
    const params = check(operation, { url: "https://x/y" });
    expect(params).toEqual({ url: "https://x/y", depth: 1 });
    expect(operation.params.expand(params as Params)).toEqual(["git", "clone", "--depth", "1", "https://x/y"]);
  });

  test("that are wrong are named, all of them", async () => {
    const operation = await one(clone);
    expect(check(operation, undefined)).toEqual(["url: it is missing"]);
    expect(check(operation, { url: "file:///x", depth: 0, dept: 1 })).toEqual([
      'dept: there is no such parameter; did you mean "depth"?',
      'url: it must match pattern "^https://"',
      "depth: it must be >= 1",
    ]);
    expect(check(operation, { url: "https://x", depth: "2" })).toEqual(["depth: it must be integer"]);
    expect(check(operation, { url: "https://x", depth: Number.NaN })).toEqual(["depth: it must be integer"]);
  });

  test("that can't be arguments are refused before there is a job", async () => {
    const operation = await one({ command: ["p", "{x}"], params: { x: { type: "string" } } });
    expect(check(operation, { x: "-x" })).toEqual([
      'x: it begins with "-", and the command would take it for an option',
    ]);
    expect(check(operation, { x: "a\0" })).toEqual(["x: it holds a NUL character, which no argument can"]);
    const daring = await one({ command: ["p", "{x}"], params: { x: { type: "string", allowLeadingDash: true } } });
    expect(check(daring, { x: "-x" })).toEqual({ x: "-x" });
  });

  test("are named down to the place within them", async () => {
    const items = { type: "array", items: { enum: ["a", "b"] }, maxItems: 2, default: [] };
    const operation = await one({ command: ["p", "{x}"], params: { x: items } });
    expect(check(operation, {})).toEqual({ x: [] });
    expect(check(operation, { x: ["a", "c"] })).toEqual([
      'x.1: it must be equal to one of the allowed values: "a", "b"',
    ]);
    expect(check(operation, { x: ["a", "b", "a"] })).toEqual(["x: it must NOT have more than 2 items"]);
  });

  test("named like properties of every object are names like any other", async () => {
    const operation = await one({ command: ["true"] });
    expect(check(operation, JSON.parse('{"__proto__": 1}'))).toEqual([
      "__proto__: there is no such parameter; the operation takes none",
    ]);
    expect(check(operation, { constructor: 1 })).toEqual([
      "constructor: there is no such parameter; the operation takes none",
    ]);
    const declared = await one({ command: ["p", "{constructor}"], params: { constructor: { type: "string" } } });
    expect(check(declared, {})).toEqual(["constructor: it is missing"]);
  });
});
