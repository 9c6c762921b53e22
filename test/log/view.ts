import type { EventLog, Scope } from "../../src/log/contract.ts";
import { readAll } from "./harness.ts";

/** Whatever can be asked of a log, to compare it with another time. */
export async function viewOf(log: EventLog, scopes: readonly Scope[]) {
  const events = [];
  for (const scope of scopes) events.push(await readAll(log, { scope }));
  return {
    epochs: events.map((seen) => seen.map(({ sequence }) => log.epochs.at(sequence).tag)),
    bounds: scopes.map((scope) => log.bounds(scope)),
    events,
    workers: [...log.workers()].sort((one, other) => compare(one.workerId, other.workerId)),
    jobs: [...log.jobs()].sort((one, other) => compare(one.jobId, other.jobId)),
  };
}

function compare(one: string, other: string): number {
  return one < other ? -1 : 1;
}
