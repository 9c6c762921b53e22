import { hasReason } from "../base/errors.ts";
import type { EventLog } from "../log/contract.ts";
import { caughtUp } from "./decided.ts";

/**
 * What `read` gives, which is synchronous. Where it finds no worker or job, another server that shares the log may have made
 * it a moment ago: then it reads again as soon as this one knows all that was committed before the call.
 * @throws TailraceError what `read` throws, `log_unavailable`.
 */
export async function lookUp<T>(log: EventLog, read: () => T): Promise<T> {
  try {
    return read();
  } catch (error) {
    const isMissing = hasReason(error, "job_not_found") || hasReason(error, "worker_not_found");
    if (!isMissing || !log.isShared) throw error;
    await caughtUp(log);
    return read();
  }
}
