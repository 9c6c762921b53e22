import { resolve } from "node:path";
import { limits } from "../../base/limits.ts";
import { nearest } from "../options/parse.ts";
import { count, durationMs } from "../options/values.ts";
import { loadValidator, type ParamDeclaration, ParamSchema, type Validator } from "./params.ts";
import { CommandTemplate, paramName } from "./template.ts";
import { WrongConfig } from "./wrong-config.ts";

/** Milliseconds that a command has between SIGTERM and SIGKILL, unless its operation says otherwise. */
export const defaultCancelGraceMs = 10_000;

/** An operation that a configuration file declares: a command with parameters. What is undefined has the runtime's default. */
export interface OperationConfig {
  readonly name: string;
  readonly description: string | undefined;
  /** Checks parameters and makes the command of them. */
  readonly params: ParamSchema;
  /** Directory that the command runs in. Undefined: that of the server. */
  readonly cwd: string | undefined;
  /** Added to the server's own environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly concurrency: number | undefined;
  readonly queueDepth: number | undefined;
  readonly timeouts: { readonly totalMs?: number; readonly idleMs?: number; readonly queueMs?: number };
  readonly cancelGraceMs: number;
}

/** Keys of an operation. */
export const operationKeys = [
  "command",
  "params",
  "description",
  "cwd",
  "env",
  "concurrency",
  "queueDepth",
  "timeouts",
  "cancelGrace",
] as const;

/** Keys of its `timeouts`. */
export const timeoutKeys = ["total", "idle", "queue"] as const;

/**
 * Reads the `operations` of a configuration file.
 * @param directory What a relative `cwd` is relative to.
 * @throws WrongConfig, and TailraceError `part_missing` if there is an operation and nothing to check its parameters with.
 */
export async function readOperations(value: unknown, directory: string): Promise<OperationConfig[]> {
  const entries = Object.entries(object(value, ["operations"]));
  if (entries.length === 0) return [];
  const validator = await loadValidator();
  return entries.map(([name, entry]) => readOperation(name, entry, directory, validator));
}

function readOperation(name: string, value: unknown, directory: string, validator: Validator): OperationConfig {
  const path = ["operations", name];
  if (name === "" || Buffer.byteLength(name) > limits.maxIdBytes) {
    throw new WrongConfig(path, `the name of an operation has 1 to ${limits.maxIdBytes} bytes`);
  }
  const entry = object(value, path);
  knownKeys(entry, operationKeys, path);
  const { command, params, description, cwd, env, concurrency, queueDepth, timeouts, cancelGrace } = entry;
  const declarations = readParams(params ?? {}, [...path, "params"]);
  const template = readCommand(command, declarations, [...path, "command"]);
  return {
    name,
    description: optional(description, (found) => text(found, [...path, "description"])),
    params: new ParamSchema(validator, declarations, template, [...path, "params"]),
    cwd: optional(cwd, (found) => resolve(directory, text(found, [...path, "cwd"]))),
    env: readEnvironment(env ?? {}, [...path, "env"]),
    concurrency: optional(concurrency, (found) => wholeNumber(found, [...path, "concurrency"])),
    queueDepth: optional(queueDepth, (found) => wholeNumber(found, [...path, "queueDepth"])),
    timeouts: readTimeouts(timeouts ?? {}, [...path, "timeouts"]),
    cancelGraceMs:
      optional(cancelGrace, (found) => lengthOfTime(found, [...path, "cancelGrace"])) ?? defaultCancelGraceMs,
  };
}

function readCommand(
  value: unknown,
  params: ReadonlyMap<string, ParamDeclaration>,
  path: readonly string[],
): CommandTemplate {
  if (!Array.isArray(value) || value.length === 0 || value[0] === "") {
    throw new WrongConfig(path, 'it must be the program and its arguments: ["git", "clone", "{url}"]');
  }
  const words = value.map((word: unknown, index) => text(word, [...path, String(index)]));
  let template: CommandTemplate;
  try {
    template = new CommandTemplate(words);
  } catch (error) {
    const { message, at } = error as Error & { at: number };
    throw new WrongConfig([...path, String(at)], message);
  }
  for (const name of template.params) {
    const index = template.indexOf(name);
    // Whoever may submit a job must not choose what is executed, only what it is given.
    if (index === 0) throw new WrongConfig([...path, "0"], "the program can't be a parameter");
    if (!params.has(name)) {
      throw new WrongConfig([...path, String(index)], `"{${name}}" is no parameter; declare it in params`);
    }
  }
  for (const name of params.keys()) {
    // Else whoever gives it a value would believe that it does something.
    if (!template.params.has(name)) throw new WrongConfig(path, `the parameter "${name}" is declared and never used`);
  }
  return template;
}

function readParams(value: unknown, path: readonly string[]): Map<string, ParamDeclaration> {
  const params = new Map<string, ParamDeclaration>();
  for (const [name, entry] of Object.entries(object(value, path))) {
    const at = [...path, name];
    if (!paramName.test(name)) {
      throw new WrongConfig(at, "the name of a parameter has letters, digits, _ and -, and begins with a letter or _");
    }
    const { allowLeadingDash = false, ...schema } = object(entry, at);
    if (typeof allowLeadingDash !== "boolean") {
      throw new WrongConfig([...at, "allowLeadingDash"], "it must be true or false");
    }
    params.set(name, { schema, allowLeadingDash });
  }
  return params;
}

function readEnvironment(value: unknown, path: readonly string[]): Record<string, string> {
  const variables = Object.entries(object(value, path)).map(([name, entry]): [string, string] => {
    const at = [...path, name];
    if (name === "" || /[=\0]/.test(name)) throw new WrongConfig(at, 'a variable has a name without "="');
    if (name.startsWith("TAILRACE_")) throw new WrongConfig(at, "these variables are set for every job by itself");
    const content = text(entry, at);
    if (content.includes("\0")) throw new WrongConfig(at, "it holds a NUL character, which no variable can");
    return [name, content];
  });
  return Object.fromEntries(variables);
}

function readTimeouts(value: unknown, path: readonly string[]): OperationConfig["timeouts"] {
  const entry = object(value, path);
  knownKeys(entry, timeoutKeys, path);
  const given = timeoutKeys.flatMap((name): [string, number][] =>
    entry[name] === undefined ? [] : [[`${name}Ms`, lengthOfTime(entry[name], [...path, name])]],
  );
  return Object.fromEntries(given);
}

function knownKeys(entry: Readonly<Record<string, unknown>>, keys: readonly string[], path: readonly string[]): void {
  for (const key of Object.keys(entry)) {
    if (keys.includes(key)) continue;
    const near = nearest(key, keys);
    const hint = near === undefined ? `the keys are ${keys.join(", ")}` : `did you mean "${near}"?`;
    throw new WrongConfig([...path, key], `there is no such key; ${hint}`);
  }
}

function object(value: unknown, path: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new WrongConfig(path, "it must be an object");
  }
  return value as Readonly<Record<string, unknown>>;
}

function optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined ? undefined : read(value);
}

function text(value: unknown, path: readonly string[]): string {
  if (typeof value !== "string") throw new WrongConfig(path, "it must be a text");
  return value;
}

function wholeNumber(value: unknown, path: readonly string[]): number {
  if (typeof value !== "number") throw new WrongConfig(path, "it must be a number");
  return parsed(path, () => count(`${value}`));
}

/** A number is milliseconds. */
function lengthOfTime(value: unknown, path: readonly string[]): number {
  if (typeof value !== "number" && typeof value !== "string") {
    throw new WrongConfig(path, 'it must be a length of time, for example "30s"');
  }
  const ms = parsed(path, () => durationMs(typeof value === "number" ? `${value}ms` : value));
  if (ms < 1) throw new WrongConfig(path, "it must be at least 1ms");
  return ms;
}

function parsed<T>(path: readonly string[], read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new WrongConfig(path, (error as Error).message);
  }
}
