import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { invalidRequest, type TailraceError } from "../base/errors.ts";
import type { RetentionLimits } from "../base/limits.ts";
import { type OperationConfig, readOperations } from "./operations/config.ts";
import { WrongConfig } from "./operations/wrong-config.ts";
import type { NatsSettings } from "./options/nats-options.ts";
import { nearest } from "./options/parse.ts";
import type { RuntimeSettings } from "./options/runtime-options.ts";
import {
  anyText,
  byteCount,
  count,
  durationMs,
  listenAddress,
  logChoice,
  namespace,
  oneOf,
  replicaCount,
} from "./options/values.ts";

/** Bytes of a configuration file at the most. */
const maxConfigBytes = 1024 * 1024;

/** What a key may hold: the text that the option of the same name takes, or for numbers and flags their JSON form. */
interface ConfigKey {
  readonly accepts: "text" | "number" | "flag";
  readonly parse: (text: string) => unknown;
}

const text = (parse: (text: string) => unknown): ConfigKey => ({ accepts: "text", parse });
const number = (parse: (text: string) => unknown): ConfigKey => ({ accepts: "number", parse });

/** Keys of the file: the options of `tailrace serve` in camelCase. Ages as numbers are milliseconds. */
const topLevel = {
  listen: text(listenAddress),
  commandListen: text(listenAddress),
  data: text(anyText),
  log: text(logChoice),
  durability: text(oneOf("fsync", "process")),
  namespace: text(namespace),
  replicas: number(replicaCount),
  natsMaxBytes: number(byteCount),
  natsUser: text(anyText),
  natsPasswordFile: text(anyText),
  natsTokenFile: text(anyText),
  natsNkey: text(anyText),
  natsCreds: text(anyText),
  natsCa: text(anyText),
  natsCert: text(anyText),
  natsKey: text(anyText),
  insecure: { accepts: "flag", parse: (flag) => flag === "true" } as ConfigKey,
  retainWorkerEvents: number(count),
  retainWorkerBytes: number(byteCount),
  retainWorkerAge: number(durationMs),
  retainEvents: number(count),
  retainBytes: number(byteCount),
  retainAge: number(durationMs),
} as const;

/** Every key of the file. `$schema` is for editors, which find the schema by it. */
export const configKeys = ["$schema", ...Object.keys(topLevel), "operations"] as const;

const retention: Readonly<Record<string, keyof RetentionLimits>> = {
  retainWorkerEvents: "workerEvents",
  retainWorkerBytes: "workerBytes",
  retainWorkerAge: "workerAgeMs",
  retainEvents: "events",
  retainBytes: "bytes",
  retainAge: "ageMs",
};

/** Keys of a log in NATS that name files, relative to the configuration. */
const natsFiles = {
  natsPasswordFile: "passwordFile",
  natsTokenFile: "tokenFile",
  natsNkey: "nkey",
  natsCreds: "creds",
  natsCa: "ca",
  natsCert: "cert",
  natsKey: "key",
} as const satisfies Record<string, keyof NatsSettings>;

/** What a configuration file says. */
export interface Config {
  readonly settings: RuntimeSettings;
  readonly operations: readonly OperationConfig[];
}

/**
 * Reads a configuration file. Directories in it are relative to the file.
 * @throws TailraceError `invalid_request` naming the key, `part_missing` if it has operations and their checks are not
 *   installed.
 */
export async function readConfigFile(path: string): Promise<Config> {
  const found = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw wrong(path, error.code === "ENOENT" ? "there is no such file" : `it can't be read (${error.code})`);
  });
  if (found.length > maxConfigBytes) throw wrong(path, `it has more than ${maxConfigBytes} bytes`);
  let document: unknown;
  try {
    document = JSON.parse(found.toString("utf8"));
  } catch (error) {
    throw wrong(path, `it is no JSON: ${(error as Error).message}`);
  }
  return configOfDocument(path, document);
}

async function configOfDocument(path: string, document: unknown): Promise<Config> {
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw wrong(path, 'it must hold an object: {"listen": "127.0.0.1:7433"}');
  }
  const values = new Map<string, unknown>();
  const limits: Partial<Record<keyof RetentionLimits, number>> = {};
  let operations: readonly OperationConfig[] = [];
  for (const [key, entry] of Object.entries(document)) {
    if (key === "$schema") continue;
    if (key === "operations") {
      operations = await operationsOf(path, entry);
      continue;
    }
    const known = Object.hasOwn(topLevel, key) ? topLevel[key as keyof typeof topLevel] : undefined;
    if (known === undefined) throw wrong(`${path}: ${key}`, unknownKey(key));
    const parsed = entryValue(path, key, known, entry);
    const limit = retention[key];
    if (limit === undefined) values.set(key, parsed);
    else limits[limit] = parsed as number;
  }
  const file = (key: string) => {
    const name = values.get(key) as string | undefined;
    return name === undefined ? undefined : resolve(dirname(path), name);
  };
  const settings: RuntimeSettings = {
    listen: values.get("listen") as string | undefined,
    commandListen: values.get("commandListen") as string | undefined,
    data: file("data"),
    log: values.get("log") as RuntimeSettings["log"],
    durability: values.get("durability") as RuntimeSettings["durability"],
    insecure: values.get("insecure") === true,
    nats: natsOf(values, file),
    retention: limits,
  };
  return { settings, operations };
}

function natsOf(values: ReadonlyMap<string, unknown>, file: (key: string) => string | undefined): NatsSettings {
  const settings: Record<string, unknown> = {
    namespace: values.get("namespace"),
    replicas: values.get("replicas"),
    maxBytes: values.get("natsMaxBytes"),
    user: values.get("natsUser"),
  };
  for (const [key, name] of Object.entries(natsFiles)) settings[name] = file(key);
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

async function operationsOf(path: string, entry: unknown): Promise<readonly OperationConfig[]> {
  try {
    return await readOperations(entry, dirname(path));
  } catch (error) {
    if (!(error instanceof WrongConfig)) throw error;
    throw wrong(`${path}: ${error.path.join(".")}`, error.message);
  }
}

function entryValue(path: string, key: string, known: ConfigKey, entry: unknown): unknown {
  const asText =
    known.accepts === "flag"
      ? typeof entry === "boolean"
      : typeof entry === "string" || (known.accepts === "number" && typeof entry === "number");
  if (!asText) {
    const wanted = { flag: "true or false", number: "a number, or a text with a unit", text: "a text" }[known.accepts];
    throw wrong(`${path}: ${key}`, `it must be ${wanted}`);
  }
  try {
    const unit = typeof entry === "number" && known.parse === durationMs ? "ms" : "";
    return known.parse(`${entry}${unit}`);
  } catch (error) {
    throw wrong(`${path}: ${key}`, (error as Error).message);
  }
}

function unknownKey(key: string): string {
  const near = nearest(key, configKeys);
  return near === undefined
    ? `there is no such key; the keys are ${configKeys.join(", ")}`
    : `there is no such key; did you mean "${near}"?`;
}

function wrong(field: string, description: string): TailraceError<"invalid_request"> {
  return invalidRequest(field, /[.?!]$/.test(description) ? description : `${description}.`);
}
