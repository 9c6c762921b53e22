import type { Clock } from "../../base/clock.ts";
import { invalidRequest } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { EventLog } from "../../log/contract.ts";
import { serverPrefix } from "../jobs/presence.ts";

/**
 * Settles when no server has a log. One that was killed is still named there, so this takes as long as one that runs may be
 * silent (`serverPresenceMs` times `serverLostBeats`).
 *
 * @throws TailraceError `invalid_request` if a server is heard.
 */
export async function requireUnserved(log: EventLog, clock: Clock, signal?: AbortSignal): Promise<void> {
  const [named] = log.stateEntries(serverPrefix);
  if (named === undefined) return;
  const { promise: heard, reject, resolve } = Promise.withResolvers<void>();
  const abort = () => reject(signal?.reason);
  const unsubscribe = log.subscribeState(serverPrefix, (_key, value) => {
    // One that leaves does no harm.
    if (value !== undefined) reject(invalidRequest("from", "has a server that runs. Stop every server of it first"));
  });
  const stopTimer = clock.after(limits.serverPresenceMs * limits.serverLostBeats, resolve);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    signal?.throwIfAborted();
    await heard;
  } finally {
    stopTimer();
    unsubscribe();
    signal?.removeEventListener("abort", abort);
  }
}
