import { streamEnded } from "../events/diagnostics.ts";
import type { EndOfScope, ScopeEnd } from "../stream/surroundings.ts";
import type { Jobs } from "./jobs/jobs.ts";
import type { WorkerProjection } from "./worker-projection.ts";

/** Says how the workers, or the job, of a scope ended. The runtime does not end while it is watched. */
export function scopeEnds(workers: WorkerProjection, jobs: Jobs): EndOfScope {
  return (scope) => {
    if (scope.kind === "job") return endOfJob(jobs, scope.jobId);
    return scope.kind === "workers" ? endOfWorkers(workers, scope.workerIds) : undefined;
  };
}

function endOfWorkers(workers: WorkerProjection, workerIds: readonly string[]): ScopeEnd | undefined {
  const ends = workerIds.map((workerId) => workers.end(workerId));
  const last = ends.at(-1);
  if (last === undefined || ends.includes(undefined)) return undefined;
  const sequence = Math.max(...ends.map((end) => end?.sequence ?? 0));
  // Of several workers, the one that ended last speaks for them.
  const speaker = ends.find((end) => end?.sequence === sequence) ?? last;
  const message = ends.length === 1 ? "The worker has ended." : "All of the workers have ended.";
  return {
    sequence,
    diagnostic: (cursor) => streamEnded({ end: { case: "worker", value: speaker.ended } }, message, cursor),
  };
}

function endOfJob(jobs: Jobs, jobId: string): ScopeEnd | undefined {
  const end = jobs.end(jobId);
  if (end === undefined) return undefined;
  const { sequence, ended } = end;
  return {
    sequence,
    diagnostic: (cursor) => streamEnded({ end: { case: "job", value: ended } }, "The job has ended.", cursor),
  };
}
