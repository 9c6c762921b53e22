import { type DescField, type DescMessage, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { invalidRequest, type TailraceError } from "../base/errors.ts";

/**
 * Why a JSON text (UTF-8) is no message of this schema, by the name of the field; undefined: it is one. protobuf-es says it in
 * words only.
 */
export function findJsonFault(schema: DescMessage, message: Uint8Array): TailraceError<"invalid_request"> | undefined {
  let json: JsonValue;
  try {
    json = JSON.parse(Buffer.from(message).toString("utf8")) as JsonValue;
  } catch (error) {
    return invalidRequest("body", `it is no JSON: ${messageOf(error)}`);
  }
  try {
    fromJson(schema, json, { ignoreUnknownFields: false });
    return undefined;
  } catch (error) {
    return faultIn(schema, json, "") ?? invalidRequest("body", messageOf(error));
  }
}

/** The first field that the schema does not have, or whose value it does not allow. */
function faultIn(schema: DescMessage, value: JsonValue, path: string): TailraceError<"invalid_request"> | undefined {
  // Well-known types have a JSON form of their own, without their fields.
  if (schema.typeName.startsWith("google.protobuf.")) return undefined;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  for (const [key, member] of Object.entries(value)) {
    const field = schema.fields.find(({ name, jsonName }) => name === key || jsonName === key);
    if (field === undefined) {
      return invalidRequest(path + key, `${schema.typeName} has no such field; check the spelling`);
    }
    try {
      fromJson(schema, { [key]: member }, { ignoreUnknownFields: false });
    } catch (error) {
      return faultInside(field, member, path + field.name) ?? invalidRequest(path + field.name, messageOf(error));
    }
  }
  return undefined;
}

function faultInside(field: DescField, value: JsonValue, path: string): TailraceError<"invalid_request"> | undefined {
  if (field.message === undefined || typeof value !== "object" || value === null) return undefined;
  if (field.fieldKind === "message") return faultIn(field.message, value, `${path}.`);
  for (const [key, member] of Object.entries(value)) {
    const fault = faultIn(field.message, member as JsonValue, `${path}[${key}].`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
