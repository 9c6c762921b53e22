import { create, type JsonObject, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { JobSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { invalidRequest } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { StandardIssue, StandardSchemaV1 } from "./standard-schema.ts";

/** Parameters as they were given, if they are JSON and not too large. @throws TailraceError `invalid_request`. */
export function givenParams(params: JsonObject | undefined): JsonObject {
  const given = jsonObject(params ?? {});
  checkSize(given);
  return given;
}

/** Checks parameters, and gives them as the operation gets them, with defaults filled in. @throws TailraceError `invalid_request`. */
export async function checkParams(
  schema: StandardSchemaV1<unknown, unknown> | undefined,
  params: JsonObject,
): Promise<JsonObject> {
  if (schema === undefined) return params;
  const result = await schema["~standard"].validate(params);
  if (result.issues !== undefined) throw invalidParams(result.issues);
  const checked = jsonObject(result.value);
  checkSize(checked);
  return checked;
}

/** Characters of a path or a message that are told: both may come from the caller, and an answer has its limits, too. */
const toldCharacters = 256;

function wrong(path: string, description: string) {
  return invalidRequest(told(path), told(description));
}

function told(text: string): string {
  return text.length <= toldCharacters ? text : `${text.slice(0, toldCharacters).toWellFormed()}...`;
}

function invalidParams(issues: readonly StandardIssue[]) {
  const [first] = issues;
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
  return wrong(pathOf(first?.path ?? []), `${told(first?.message ?? "they are not valid")}${more}`);
}

/** "params.servers[2].name" */
function pathOf(path: NonNullable<StandardIssue["path"]>): string {
  let text = "params";
  for (const segment of path) {
    const key = typeof segment === "object" ? segment.key : segment;
    text += typeof key === "number" ? `[${key}]` : `.${String(key)}`;
  }
  return text;
}

function checkSize(params: JsonObject): void {
  const bytes = toBinary(JobSchema, create(JobSchema, { params })).length;
  if (bytes > limits.maxJobParamsBytes) {
    throw invalidRequest("params", `they have at most ${limits.maxJobParamsBytes} bytes, encoded`);
  }
}

/** A copy with nothing in it but JSON, so that what a handler gets after a restart is what it would have got before. */
function jsonObject(value: unknown): JsonObject {
  if (!isPlain(value)) throw invalidRequest("params", "they are a JSON object");
  return jsonValue(value, "params", 0) as JsonObject;
}

function jsonValue(value: unknown, path: string, depth: number): JsonValue {
  if (depth > limits.maxJobParamsDepth) {
    throw wrong(path, `there are at most ${limits.maxJobParamsDepth} values within each other`);
  }
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") {
    if (!value.isWellFormed()) throw wrong(path, "it is no well-formed text");
    return value;
  }
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (Array.isArray(value)) return value.map((item, i) => jsonValue(item, `${path}[${i}]`, depth + 1));
  if (isPlain(value)) {
    const copy: JsonObject = {};
    for (const [key, item] of Object.entries(value)) {
      if (item === undefined) continue;
      // Assigned, it would become the prototype, and its fields parameters that no schema has seen.
      if (key === "__proto__" || !key.isWellFormed()) throw wrong(path, `${JSON.stringify(key)} is no good name`);
      copy[key] = jsonValue(item, `${path}.${key}`, depth + 1);
    }
    return copy;
  }
  throw wrong(path, "it is no JSON value");
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
