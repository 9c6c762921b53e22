import { setTimeout as delay } from "node:timers/promises";
import { limits } from "../../../base/limits.ts";
import { openFailed } from "../errors.ts";
import { type KeptIdentity, readIdentity, writeIdentity } from "./identity.ts";
import { leaseRevision } from "./lease.ts";
import type { Meta } from "./meta.ts";
import type { Snapshots } from "./snapshots.ts";

const lookMs = 250;

/**
 * Of messages that were purged before they were in a snapshot only servers know what ran meanwhile. Asks those for a snapshot,
 * and waits for it.
 *
 * @param through sequence in the stream that it must hold, `after` that which the newest one held.
 * @returns the identity if nobody runs, since the lease is neither taken nor renewed; undefined: look again.
 * @throws TailraceError `log_open_failed` if somebody runs who keeps none, such as where there is no room: that one still knows
 *   more than a new generation would.
 */
export async function askForSnapshot(
  meta: Meta,
  snapshots: Snapshots,
  generation: bigint,
  through: number,
  after: number,
): Promise<KeptIdentity | undefined> {
  const { natsLeaseMs, natsLeaseRenewMs, natsOpenMs } = limits;
  const deadline = performance.now() + natsOpenMs + natsLeaseMs;
  const lease = await leaseRevision(meta);
  // Who runs takes a lease that is free when it looks next, and one that is not renewed after its time.
  const takenBy = performance.now() + (lease === undefined ? 0 : natsLeaseMs) + 2 * natsLeaseRenewMs;
  for (let isThere = false; ; ) {
    const asked = await ask(meta, generation, through);
    if (asked === undefined || (await snapshots.through()) > after) return undefined;
    isThere ||= (await leaseRevision(meta)) !== lease;
    if (!isThere && performance.now() > takenBy) return asked;
    if (performance.now() > deadline) {
      throw openFailed(
        "io",
        "The log's stream lacks messages that no snapshot holds, and the server that looks after it keeps none. See what that server says, and open the log again.",
      );
    }
    await delay(lookMs);
  }
}

/** The identity in which it is asked; undefined: another generation has begun. */
async function ask(meta: Meta, generation: bigint, through: number): Promise<KeptIdentity | undefined> {
  for (;;) {
    const found = await readIdentity(meta);
    if (found === undefined || found.identity.generation !== generation) return undefined;
    if ((found.identity.wanted ?? 0) >= through) return found;
    // The mark is raised at the same place.
    const asked = await writeIdentity(meta, { ...found.identity, wanted: through }, found.revision);
    if (asked !== undefined) return asked;
  }
}
