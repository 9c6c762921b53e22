import { invalidRequest } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Operation } from "./lane.ts";
import type { JobHandler, JobTimeoutOptions, OperationOptions } from "./operation.ts";

/** An operation with its defaults. @throws TailraceError `invalid_request` for options that make no sense. */
export function operationOf<Params>(options: OperationOptions<Params>, handler: JobHandler<Params>): Operation {
  const { concurrency = limits.jobConcurrency, queueDepth = limits.jobQueueDepth } = options;
  const { cancelGraceMs = limits.jobCancelGraceMs, timeouts = {} } = options;
  if (typeof handler !== "function") throw invalidRequest("handler", "it is a function");
  requireWhole("concurrency", concurrency, 1);
  requireWhole("queueDepth", queueDepth, 0);
  requireMs("cancelGraceMs", cancelGraceMs, 0);
  for (const [name, ms] of Object.entries(timeouts as JobTimeoutOptions)) {
    if (!timeoutNames.has(name)) throw invalidRequest(`timeouts.${name}`, "there is no such bound");
    if (ms !== undefined) requireMs(`timeouts.${name}`, ms, 1);
  }
  const params = options.params as Operation["params"];
  if (params !== undefined && typeof params["~standard"]?.validate !== "function") {
    throw invalidRequest("params", "it is a schema that implements Standard Schema");
  }
  return { params, concurrency, queueDepth, timeouts, cancelGraceMs, handler: handler as Operation["handler"] };
}

const timeoutNames: ReadonlySet<string> = new Set(["totalMs", "idleMs", "queueMs"]);

function requireWhole(field: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) throw invalidRequest(field, `it is a whole number from ${least}`);
}

function requireMs(field: string, value: number, least: number): void {
  if (!Number.isFinite(value) || value < least)
    throw invalidRequest(field, `it is a time in milliseconds, from ${least}`);
}
