import { usageError } from "../options/parse.ts";
import { jobId } from "../options/values.ts";

/** The one operand of a command that is about one job. @throws TailraceError `invalid_request`. */
export function onlyJobId(command: string, operands: readonly string[]): string {
  const [given, extra] = operands;
  if (given === undefined) throw usageError(command, "ID", `The job is missing: tailrace ${command} ID.`);
  if (extra !== undefined) throw usageError(command, extra, "Only one job can be given.");
  try {
    return jobId(given);
  } catch (error) {
    throw usageError(command, "ID", `${(error as Error).message}.`);
  }
}
