import type { Clock } from "../base/clock.ts";
import { hasReason, TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type AppendBatch, type AppendResult, type EventLog, isConflict } from "../log/contract.ts";

/**
 * Appends what `decide` gives, which it decides from the state of the log as it is at that moment. Where another server was
 * first to put some of what the batch puts or depends on, `decide` is called again: by then this server knows what was put.
 * The first call of `decide`, and of `append`, is made before this returns. Undefined: `decide` gave nothing to append.
 * @throws TailraceError what `decide` and `EventLog.append` throw, but never a conflict: after limits.conflictTries,
 *   `log_unavailable`.
 */
export async function appendDecided(
  log: EventLog,
  decide: () => AppendBatch | undefined,
): Promise<AppendResult | undefined> {
  for (let tries = 1; ; tries++) {
    const batch = decide();
    if (batch === undefined) return undefined;
    try {
      return await log.append(batch);
    } catch (error) {
      if (!isConflict(error)) throw error;
      if (tries >= limits.conflictTries) throw tooManyConflicts(error);
    }
  }
}

/**
 * What time it is for whatever compares now with a time that the log gave out: of events, and of what was committed with them.
 * Milliseconds since the epoch. On a shared log that is the log's time, which goes on with every server that says that it is
 * there: the clocks of servers differ, and by one that is ahead all would be forgotten, or be over, too early.
 */
export function ageTime(log: EventLog, clock: Clock): number {
  return log.isShared ? log.timeMs : clock.now();
}

/**
 * Settles when this process knows all that was committed before the call, by whichever process.
 * @throws TailraceError `log_unavailable`.
 */
export async function caughtUp(log: EventLog): Promise<void> {
  if (log.isShared) await log.reach(Number.MAX_SAFE_INTEGER);
}

function tooManyConflicts(cause: unknown): TailraceError<"log_unavailable"> {
  const { sinceMs, retryAfterMs } = hasReason(cause, "log_unavailable")
    ? cause.details
    : { sinceMs: 0, retryAfterMs: limits.logRetryMs };
  return new TailraceError(
    "log_unavailable",
    { sinceMs, retryAfterMs },
    "Other servers changed what this depends on again and again. Nothing was written; try again.",
    { cause },
  );
}
