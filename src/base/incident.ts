import { TailraceError } from "./errors.ts";

/** Takes what went wrong inside, to log it. `incidentId` is what the client was told. */
export type ReportError = (error: unknown, incidentId?: string) => void;

/** The error as a client may see it. Anything unexpected is reported and becomes `internal`, which tells nothing but an id. */
export function toTailraceError(error: unknown, report: ReportError): TailraceError {
  if (isInstance(error, TailraceError)) return error;
  const incidentId = crypto.randomUUID();
  report(error, incidentId);
  return new TailraceError(
    "internal",
    { incidentId },
    `The server failed. Its log has the cause under incident ${incidentId}.`,
    { cause: error },
  );
}

/** `instanceof` for what was thrown, which may be a proxy that throws when it is asked. */
export function isInstance<T>(thrown: unknown, type: abstract new (...args: never) => T): thrown is T {
  try {
    return thrown instanceof type;
  } catch {
    return false;
  }
}

/**
 * A report that never throws, whatever it is told of and whoever takes it: the work whose fault it is goes on. What `onError`
 * throws or rejects with goes to standard error, together with the fault. Default: standard error.
 */
export function safeReport(onError: ReportError = reportToStandardError): ReportError {
  return (error, incidentId) => {
    const tell = async (): Promise<void> => onError(error, incidentId);
    tell().catch((thrown: unknown) => {
      reportToStandardError(error, incidentId);
      reportToStandardError(new Error("The onError that was to take this fault failed itself.", { cause: thrown }));
    });
  };
}

/** Where faults go by default: standard error, with all that is known of them. Never throws. */
export function reportToStandardError(error: unknown, incidentId?: string): void {
  const label = incidentId === undefined ? "tailrace:" : `tailrace: incident ${incidentId}:`;
  for (const show of [() => error, () => (error as Error).stack, () => "an error that can't be shown"]) {
    try {
      // biome-ignore lint/suspicious/noConsole: a fault must be seen where nobody asked for it elsewhere.
      console.error(label, show());
      return;
    } catch {
      // What was thrown may throw again when it is looked at: then as much is said as can be.
    }
  }
}
