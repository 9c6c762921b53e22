import { createHash } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import type { SubmitSpec } from "../requests-jobs.ts";

/**
 * Tells one request from another under the same idempotency key: the same for the same request in any encoding. Of the
 * parameters as they were given, because defaults may be others when the request comes again.
 */
export function fingerprintOf(spec: SubmitSpec, params: JsonObject): string {
  return createHash("sha256").update(canonical({ spec, params })).digest("base64url").slice(0, 22);
}

/** JSON whose keys are sorted: protobuf does not keep the order of a Struct's fields. */
function canonical(json: unknown): string {
  return JSON.stringify(json, (_key, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
