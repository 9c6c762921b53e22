import { TailraceError } from "../base/errors.ts";
import type { EventLog, Scope } from "../log/contract.ts";

/** The error of a scope that names something that does not exist; undefined: all of it does. */
export function notFound(log: EventLog, scope: Scope): TailraceError | undefined {
  if (scope.kind === "job") {
    const { jobId } = scope;
    if (log.job(jobId) !== undefined) return undefined;
    return new TailraceError(
      "job_not_found",
      { jobId },
      `There is no job "${jobId}", or it was forgotten after its end.`,
    );
  }
  if (scope.kind !== "workers") return undefined;
  const workerId = scope.workerIds.find((id) => log.worker(id) === undefined);
  if (workerId === undefined) return undefined;
  return new TailraceError(
    "worker_not_found",
    { workerId },
    `There is no worker "${workerId}". Ask to wait for it (if_missing) to watch before it exists.`,
  );
}
