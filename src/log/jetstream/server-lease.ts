import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { limits } from "../../base/limits.ts";
import { openFailed } from "./errors.ts";
import type { Meta, MetaEntry } from "./meta.ts";

const key = "server";

/** Milliseconds between two looks at a lease that may be that of a server which is gone, and after a renewal that failed. */
const lookAgainMs = 250;

/** What counts of the time between two looks, at the most: while the whole machine stood still, nobody could renew. */
const mostBetweenLooksMs = 4 * lookAgainMs;

/** What a lease says of its holder. */
interface Holder {
  readonly id: string;
  readonly host: string;
  readonly process: number;
}

/**
 * Keeps a namespace for one server. A lease that is not renewed for `natsLeaseMs` is that of a server that is gone: whoever
 * opens the log looks at it for so long, and no clocks are compared. It replaces what it saw and nothing else, so that of
 * two that open at once one gets it.
 */
export class ServerLease {
  readonly #meta: Meta;
  readonly #own: Uint8Array;
  #revision: number;
  /** When the renewal was begun that succeeded last: nobody else takes the lease before `natsLeaseMs` after that. */
  #renewedAtMs: number;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> | undefined;
  #state: "held" | "lost" | "released" = "held";
  #onLost: (() => void) | undefined;
  #released: Promise<void> | undefined;

  private constructor(meta: Meta, own: Uint8Array, revision: number, takenAtMs: number) {
    this.#meta = meta;
    this.#own = own;
    this.#revision = revision;
    this.#renewedAtMs = takenAtMs;
    this.#renewIn(limits.natsLeaseRenewMs);
  }

  /** @throws TailraceError `log_open_failed` (`locked`): another server has it. That takes as long as its next renewal. */
  static async take(meta: Meta, namespace: string): Promise<ServerLease> {
    const holder: Holder = { id: randomUUID(), host: hostname(), process: process.pid };
    const own = new TextEncoder().encode(JSON.stringify(holder));
    const seen = await meta.get(key);
    let unchangedMs = 0;
    for (let before = performance.now(); ; ) {
      const now = performance.now();
      unchangedMs += Math.min(now - before, mostBetweenLooksMs);
      before = now;
      const found = await meta.get(key);
      if (found !== undefined && found.revision !== seen?.revision) throw inUse(namespace, found);
      if (found === undefined || unchangedMs >= limits.natsLeaseMs) {
        const revision = await meta.swap(key, own, found?.revision);
        if (revision === undefined) throw inUse(namespace, await meta.get(key));
        return new ServerLease(meta, own, revision, now);
      }
      await delay(lookAgainMs);
    }
  }

  /** Whether nobody else can have it. A server that was paused, or has no connection, does not know until it has renewed it. */
  get isSure(): boolean {
    return this.#state === "held" && performance.now() - this.#renewedAtMs < limits.natsLeaseMs;
  }

  /** Calls back once another server has taken it, at once if one has. */
  onLost(listener: () => void): void {
    this.#onLost = listener;
    if (this.#state === "lost") listener();
  }

  /** Leaves it to others, at once. `tells` false: they wait until it counts as that of a server that is gone. */
  release(tells: boolean): Promise<void> {
    this.#released ??= this.#release(tells);
    return this.#released;
  }

  async #release(tells: boolean): Promise<void> {
    const isHeld = this.#state === "held";
    if (isHeld) this.#state = "released";
    clearTimeout(this.#timer);
    await this.#turn;
    if (isHeld && tells) await this.#meta.remove(key, this.#revision).catch(() => undefined);
  }

  #renewIn(ms: number): void {
    if (this.#state !== "held") return;
    this.#timer = setTimeout(() => {
      this.#turn = this.#renew().then(
        (isRenewed) => this.#renewIn(isRenewed ? limits.natsLeaseRenewMs : lookAgainMs),
        // No answer. The next one finds out what became of it.
        () => this.#renewIn(lookAgainMs),
      );
    }, ms);
    this.#timer.unref();
  }

  async #renew(): Promise<boolean> {
    const startedAtMs = performance.now();
    const renewed = await this.#meta.swap(key, this.#own, this.#revision);
    if (renewed !== undefined) {
      this.#revision = renewed;
      this.#renewedAtMs = startedAtMs;
      return true;
    }
    const found = await this.#meta.get(key);
    if (found === undefined) {
      // Removed by hand: it is whose who makes it first.
      const made = await this.#meta.swap(key, this.#own, undefined);
      if (made !== undefined) this.#revision = made;
    } else if (Buffer.compare(found.value, this.#own) === 0) {
      // A renewal whose answer was lost is one all the same.
      this.#revision = found.revision;
    } else if (this.#state === "held" && (found.revision > this.#revision || !this.isSure)) {
      // A read may be older than our own lease, but not for that long.
      this.#state = "lost";
      this.#onLost?.();
    }
    return false;
  }
}

function inUse(namespace: string, found: MetaEntry | undefined) {
  return openFailed(
    "locked",
    `Another server${found === undefined ? "" : nameOf(found)} has the log ${namespace} open, and one at a time may. Start this one again when that is gone, as a supervisor does: it takes over within ${limits.natsLeaseMs / 1000} s.`,
  );
}

function nameOf({ value }: MetaEntry): string {
  try {
    const { host, process } = JSON.parse(new TextDecoder().decode(value)) as Holder;
    return ` (process ${process} on ${host})`;
  } catch {
    return "";
  }
}
