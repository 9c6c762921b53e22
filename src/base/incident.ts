import { TailraceError } from "./errors.ts";

/** Takes what went wrong inside, to log it. `incidentId` is what the client was told. Must not throw. */
export type ReportError = (error: unknown, incidentId?: string) => void;

/** The error as a client may see it. Anything unexpected is reported and becomes `internal`, which tells nothing but an id. */
export function toTailraceError(error: unknown, report: ReportError): TailraceError {
  if (error instanceof TailraceError) return error;
  const incidentId = crypto.randomUUID();
  report(error, incidentId);
  return new TailraceError(
    "internal",
    { incidentId },
    `The server failed. Its log has the cause under incident ${incidentId}.`,
    { cause: error },
  );
}
