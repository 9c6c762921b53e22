import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { Severity, type StreamDiagnostic, StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { expectKnown } from "./edges/strict.ts";
import type { RefusalReason } from "./reasons.ts";
import { secretOfTheHost } from "./refusals.ts";
import type { World } from "./world.ts";

/** A terminal diagnostic of this reason that carries `details` and gives nothing away. */
export function expectDiagnostic(
  diagnostic: StreamDiagnostic | undefined,
  reason: RefusalReason,
  details: object,
  { faults }: World,
): void {
  if (diagnostic === undefined) throw new Error("there is no diagnostic");
  expectKnown(StreamDiagnosticSchema, diagnostic);
  expect(diagnostic.severity).toBe(Severity.TERMINAL);
  const json = toJson(StreamDiagnosticSchema, diagnostic) as JsonObject;
  expect(json[reason]).toMatchObject(details);
  expect(JSON.stringify(json)).not.toContain(secretOfTheHost);
  expect(JSON.stringify(json)).not.toMatch(/\bat .*:\d+:\d+/);
  if (diagnostic.reason.case === "internal") {
    const { incidentId } = diagnostic.reason.value;
    const fault = faults.find((candidate) => candidate.incidentId === incidentId);
    expect(String(fault?.error)).toContain(secretOfTheHost);
  }
  if (diagnostic.reason.case === "logUnavailable" || diagnostic.reason.case === "serverClosing") {
    expect(Number(diagnostic.reason.value.retryAfter?.seconds)).toBeGreaterThan(0);
  }
}
