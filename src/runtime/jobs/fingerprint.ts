import { createHash } from "node:crypto";
import { toJson } from "@bufbuild/protobuf";
import { type SubmitJobRequest, SubmitJobRequestSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";

/** Tells one request from another under the same idempotency key: the same for the same request in any encoding. */
export function fingerprintOf(request: SubmitJobRequest): string {
  const json = toJson(SubmitJobRequestSchema, request);
  return createHash("sha256").update(canonical(json)).digest("base64url").slice(0, 22);
}

/** JSON whose keys are sorted: protobuf does not keep the order of a Struct's fields. */
function canonical(json: unknown): string {
  return JSON.stringify(json, (_key, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
