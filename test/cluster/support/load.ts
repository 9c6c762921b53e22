import { setTimeout as delay } from "node:timers/promises";
import { createPublisher, hasReason, type TailraceError } from "../../../src/client/index.ts";
import { failoverTransport } from "./failover.ts";
import type { GapMeter } from "./gaps.ts";
import type { Lane, Ledger } from "./ledger.ts";

export interface LoadOptions {
  readonly ledger: Ledger;
  readonly urls: readonly string[];
  readonly gaps: GapMeter;
  /** Producers, each of which publishes batches of 1 to 5 events one after the other. Default: 4. */
  readonly producers?: number;
  /** Milliseconds between two batches of one producer. Default: 25. */
  readonly paceMs?: number;
  /** Hears of every batch that was acknowledged: number of its last event, and the position after it. */
  readonly onAcknowledged?: (lane: Lane, number: number, cursor: string) => void;
}

/** Producers that publish through whichever server answers, each batch again with the same numbers until it is acknowledged. */
export class Load {
  /** Reasons of the tries that failed, and how often. */
  readonly refusals = new Map<string, number>();
  readonly #options: LoadOptions;
  readonly #running: Promise<unknown>;
  #stopped = false;
  #failure: Error | undefined;

  constructor(options: LoadOptions) {
    this.#options = options;
    const { producers = 4, ledger } = options;
    const runs = Array.from({ length: producers }, (_, index) =>
      this.#produce(ledger.lane(`w${index}`, index % 2 === 0), index),
    );
    this.#running = Promise.all(runs).catch((error: Error) => {
      this.#failure = error;
    });
  }

  /** Why a producer gave up, which none may. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Settles when everything that was sent is acknowledged. @throws if a producer failed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #produce(lane: Lane, index: number): Promise<void> {
    const { ledger, urls, gaps, paceMs = 25, onAcknowledged } = this.#options;
    const publisher = createPublisher({
      transport: failoverTransport(urls, index),
      // The bounds of a server that can't write are seconds; what takes longer has died on the way.
      requestTimeoutMs: 20_000,
      backoff: { initialMs: 50, maxMs: 500 },
      onRetry: ({ error }) => this.#refused(error),
    });
    for (let turn = 0; !this.#stopped; turn++) {
      const events = ledger.next(lane, 1 + (turn % 5));
      const { lastSequence, cursor } = await publisher.publish(events);
      // Before the first event of a worker is the one that says that it was created.
      for (const index of events.keys()) lane.sequences.push(Number(lastSequence) - events.length + 1 + index);
      gaps.stamp(lane.workerId);
      onAcknowledged?.(lane, lane.sequences.length, cursor);
      await delay(paceMs);
    }
    await publisher.close();
  }

  #refused(error: TailraceError): void {
    const name = hasReason(error, "connection_failed") ? `connection_failed ${error.details.code}` : error.reason;
    this.refusals.set(name, (this.refusals.get(name) ?? 0) + 1);
  }
}
