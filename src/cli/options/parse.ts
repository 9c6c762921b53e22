import { parseArgs } from "node:util";
import { invalidRequest, type TailraceError } from "../../base/errors.ts";
import type { Command, OptionTable, OptionValues } from "./spec.ts";

/** What a command line asks of a command: its help, or to run. */
export type ParsedCommand =
  | { readonly kind: "help" }
  | { readonly kind: "run"; readonly values: Record<string, unknown>; readonly operands: readonly string[] };

/** An error of whoever typed the command line: one line, exit code 2. */
export function usageError(command: string, field: string, description: string): TailraceError<"invalid_request"> {
  return invalidRequest(field, `${description} See \`tailrace ${command} --help\`.`);
}

/**
 * Reads the arguments of a command. What follows `--` is left as it is.
 * @throws TailraceError `invalid_request` naming the option.
 */
export function parseCommand(command: Command, args: readonly string[]): ParsedCommand {
  const { tokens } = parseArgs({
    args: [...args],
    options: parserOptions(command.options),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, unknown>();
  const operands: string[] = [];
  let terminated = false;
  for (const token of tokens) {
    if (token.kind === "option-terminator") {
      terminated = true;
    } else if (token.kind === "positional") {
      if (command.operands === undefined) {
        throw usageError(command.name, token.value, "This argument is not expected here.");
      }
      // Without the separator the command's own options would be taken for ours.
      if (!terminated && command.operands.startsWith("--")) {
        throw usageError(
          command.name,
          token.value,
          `Put -- before the command: tailrace ${command.name} -- ${token.value}`,
        );
      }
      operands.push(token.value);
    } else if (token.name === "help") {
      return { kind: "help" };
    } else {
      take(command, values, token);
    }
  }
  return { kind: "run", values: completed(command.options, values), operands };
}

/** Runs a command with values that `parseCommand` made for it. */
export function runCommand(command: Command, parsed: Extract<ParsedCommand, { kind: "run" }>): Promise<number> {
  return command.run(parsed.values as OptionValues<OptionTable>, parsed.operands);
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

function take(command: Command, values: Map<string, unknown>, token: OptionToken): void {
  const spec = Object.hasOwn(command.options, token.name) ? command.options[token.name] : undefined;
  if (spec === undefined) throw usageError(command.name, token.rawName, unknownOption(command, token.name));
  if (spec.kind === "flag") {
    if (token.value !== undefined) throw usageError(command.name, token.rawName, "This option takes no value.");
    values.set(token.name, true);
    return;
  }
  // `--worker --server URL` forgot the id; taking "--server" for it would watch the wrong thing.
  if (token.value === undefined || token.value === "" || (!token.inlineValue && token.value.startsWith("-"))) {
    throw usageError(command.name, token.rawName, `A value is missing: ${token.rawName} ${spec.placeholder}.`);
  }
  if (spec.kind === "value") {
    if (values.has(token.name)) throw usageError(command.name, token.rawName, "This option may be given only once.");
    values.set(token.name, parsedValue(command, token.rawName, spec.parse, token.value));
  } else {
    const earlier = (values.get(token.name) ?? []) as unknown[];
    const texts = spec.commas ? token.value.split(",") : [token.value];
    const added = texts.map((text) => parsedValue(command, token.rawName, spec.parse, text));
    values.set(token.name, [...earlier, ...added]);
  }
}

function parsedValue(command: Command, rawName: string, parse: (text: string) => unknown, text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw usageError(command.name, rawName, `${(error as Error).message}.`);
  }
}

function completed(table: OptionTable, given: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const defaults = { flag: false, value: undefined, list: [] } as const;
  return Object.fromEntries(
    Object.entries(table).map(([name, spec]) => [name, given.has(name) ? given.get(name) : defaults[spec.kind]]),
  );
}

function parserOptions(
  table: OptionTable,
): Record<string, { type: "boolean" | "string"; short?: string; multiple: boolean }> {
  const options: Record<string, { type: "boolean" | "string"; short?: string; multiple: boolean }> = {
    help: { type: "boolean", short: "h", multiple: false },
  };
  for (const [name, spec] of Object.entries(table)) {
    options[name] = {
      type: spec.kind === "flag" ? "boolean" : "string",
      multiple: true,
      ...(spec.kind === "flag" && spec.short !== undefined ? { short: spec.short } : {}),
    };
  }
  return options;
}

function unknownOption(command: Command, name: string): string {
  const near = nearest(name, Object.keys(command.options));
  return near === undefined ? "There is no such option." : `There is no such option; did you mean --${near}?`;
}

/** The candidate that a misspelt name most likely means; undefined if none is close. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    for (let j = 1; j <= right.length; j++) {
      const substituted = (previous[j - 1] as number) + (left[i - 1] === right[j - 1] ? 0 : 1);
      row.push(Math.min(substituted, (previous[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    previous = row;
  }
  return previous[right.length] as number;
}
