import { TailraceError } from "../../base/errors.ts";
import type { EventLog } from "../../log/contract.ts";

/** Has a value, what to delete, from before the first event is copied to a log until after the last thing is. */
const unfinishedKey = "unfinished-copy";

/** @throws TailraceError `log_open_failed` for a log that was not copied to its end. */
export function requireWhole(log: EventLog): void {
  const place = log.state(unfinishedKey);
  if (place === undefined) return;
  throw new TailraceError(
    "log_open_failed",
    { cause: "not_a_log" },
    `The log is a copy that is not whole: tailrace migrate was ended before it was done, or still runs. If it does not, delete ${new TextDecoder().decode(place)} and copy again.`,
  );
}

/** From here on nobody serves the log. `place`: what to delete, if it stays so. */
export async function beginCopy(target: EventLog, place: string): Promise<void> {
  await target.append({ events: [], state: new Map([[unfinishedKey, new TextEncoder().encode(place)]]) });
}

/** The log is whole. */
export async function endCopy(target: EventLog): Promise<void> {
  await target.append({ events: [], state: new Map([[unfinishedKey, null]]) });
}
