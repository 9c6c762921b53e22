import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { hasReason } from "../../src/base/errors.ts";
import { configKeys, readConfigFile } from "../../src/cli/config-file.ts";
import { operationKeys, timeoutKeys } from "../../src/cli/operations/config.ts";
import { scratchDirectory } from "../support/scratch.ts";

interface Schema {
  readonly properties: Readonly<Record<string, Schema>>;
  readonly $defs: Readonly<Record<string, Schema>>;
}

const text = readFileSync(join(import.meta.dirname, "../../docs/config.schema.json"), "utf8");
const schema = JSON.parse(text) as Schema;
const validate = new Ajv2020({ strict: false }).compile(schema);

/** Whether `tailrace serve` takes a configuration. */
async function isTaken(document: unknown): Promise<boolean> {
  const file = join(scratchDirectory(), "tailrace.json");
  writeFileSync(file, JSON.stringify(document));
  try {
    await readConfigFile(file);
    return true;
  } catch (error) {
    if (hasReason(error, "invalid_request")) return false;
    throw error;
  }
}

test("the published schema has the keys that the file may have, each with what it is", () => {
  const operation = schema.$defs["operation"] as Schema;
  const timeouts = operation.properties["timeouts"] as Schema;
  expect(Object.keys(schema.properties).sort()).toEqual([...configKeys].sort());
  expect(Object.keys(operation.properties).sort()).toEqual([...operationKeys].sort());
  expect(Object.keys(timeouts.properties).sort()).toEqual([...timeoutKeys].sort());
  for (const { properties } of [schema, operation, timeouts]) {
    for (const [key, entry] of Object.entries(properties))
      expect([key, entry]).toMatchObject([key, { description: /./ }]);
  }
});

const withOperation = (operation: unknown) => ({ operations: { it: operation } });

test.for([
  {},
  { $schema: "./config.schema.json", listen: "127.0.0.1:0", log: "memory", insecure: false },
  { data: "./x", durability: "process", retainWorkerEvents: 5, retainEvents: "5", retainBytes: "1.5GiB", retainAge: 9 },
  { retainWorkerAge: "1h30m", retainWorkerBytes: 1 },
  {
    log: "nats://host:4222,host2",
    namespace: "build-1",
    replicas: 3,
    natsMaxBytes: "4GiB",
    natsCreds: "./x",
    natsCa: "./ca.pem",
  },
  { log: "tls://u:p@host", natsUser: "u", natsPasswordFile: "p", natsTokenFile: "t", natsNkey: "n" },
  { operations: {} },
  withOperation({ command: ["true"] }),
  withOperation({
    command: ["git", "clone", "--depth", "{depth}", "{url}"],
    params: {
      url: { type: "string", pattern: "^https://", allowLeadingDash: false },
      depth: { type: "integer", default: 1 },
    },
    description: "clones",
    cwd: ".",
    env: { LANG: "C" },
    concurrency: 1,
    queueDepth: 1,
    timeouts: { total: "10m", idle: 500, queue: "1h" },
    cancelGrace: "10s",
  }),
])("the schema and the program both take %j", async (document) => {
  expect([validate(document), validate.errors]).toEqual([true, null]);
  expect(await isTaken(document)).toBe(true);
});

test.for([
  { listne: "127.0.0.1:0" },
  { listen: "nowhere" },
  { log: "paper" },
  { log: "nats://" },
  { log: "nats://host/path" },
  { namespace: "a.b" },
  { namespace: "" },
  { replicas: 0 },
  { replicas: 6 },
  { replicas: "6" },
  { natsMaxBytes: 0 },
  { insecure: "yes" },
  { retainEvents: 0 },
  { retainEvents: 1.5 },
  { retainAge: "soon" },
  { operations: [] },
  { operations: { "": { command: ["true"] } } },
  withOperation({}),
  withOperation({ command: [] }),
  withOperation({ command: [""] }),
  withOperation({ command: "true" }),
  withOperation({ command: ["true"], shell: true }),
  withOperation({ command: ["p", "{x}"], params: { x: { type: "strin" } } }),
  withOperation({ command: ["p", "{x}"], params: { x: true } }),
  withOperation({ command: ["p", "{x}"], params: { x: { type: "string", allowLeadingDash: "yes" } } }),
  withOperation({ command: ["p"], params: { "x y": { type: "string" } } }),
  withOperation({ command: ["p"], env: { TAILRACE_X: "1" } }),
  withOperation({ command: ["p"], env: { A: 1 } }),
  withOperation({ command: ["p"], concurrency: 0 }),
  withOperation({ command: ["p"], queueDepth: "9" }),
  withOperation({ command: ["p"], timeouts: { whole: "1s" } }),
  withOperation({ command: ["p"], timeouts: { total: 0 } }),
  withOperation({ command: ["p"], cancelGrace: true }),
])("the schema and the program both refuse %j", async (document) => {
  expect(validate(document)).toBe(false);
  expect(await isTaken(document)).toBe(false);
});
