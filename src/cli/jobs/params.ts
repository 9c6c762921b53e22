import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { hasReason, invalidRequest } from "../../base/errors.ts";
import { usageError } from "../options/parse.ts";

/** Parameters as a command line gives them: what `--params` holds, and KEY=VALUE on top. */
export interface GivenParams {
  readonly params: JsonObject;
  /** Text of the values that were not taken as text, by their names. */
  readonly typed: ReadonlyMap<string, string>;
}

/** @throws TailraceError `invalid_request` naming the operand or option. */
export function readParams(json: string | undefined, operands: readonly string[]): GivenParams {
  const params = new Map<string, JsonValue>(json === undefined ? [] : Object.entries(objectOf(json)));
  const typed = new Map<string, string>();
  const seen = new Set<string>();
  for (const operand of operands) {
    const at = operand.indexOf("=");
    if (at < 1) throw usageError("submit", operand, "A parameter is given as KEY=VALUE.");
    const name = operand.slice(0, at);
    const text = operand.slice(at + 1);
    if (seen.has(name)) throw usageError("submit", operand, "This parameter is given twice.");
    seen.add(name);
    const value = typedValue(text);
    params.set(name, value);
    if (typeof value !== "string") typed.set(name, text);
  }
  return { params: Object.fromEntries(params), typed };
}

/**
 * A value as it is meant: JSON where it is JSON, else text. A number counts only if it would be written back the same:
 * 1.10 and 007 are names of something more often than numbers.
 */
function typedValue(text: string): JsonValue {
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
  return typeof value === "number" && String(value) !== text ? text : value;
}

function objectOf(json: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw usageError("submit", "--params", `It is no JSON: ${(error as Error).message}.`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw usageError("submit", "--params", 'It must be an object: {"depth": 1}.');
  }
  return value as JsonObject;
}

/** The server's complaint, with how to give a text that looks like something else, where that may be the mistake. */
export function withHint(error: unknown, { typed }: GivenParams): unknown {
  if (!hasReason(error, "invalid_request")) return error;
  const { field, description } = error.details;
  const name = field.startsWith("params.") ? field.slice("params.".length) : "";
  const text = typed.get(name);
  // Of a number that is too small, or of a name that is none, a text would be no better.
  if (text === undefined || /^["[{]/.test(text) || !/\bstring\b/i.test(description)) return error;
  return invalidRequest(field, `${description} (${text} is no text; for one write '${name}="${text}"')`);
}
