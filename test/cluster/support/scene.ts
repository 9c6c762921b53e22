import { connectHttp1 } from "../../conformance/edges/connect.ts";
import { grpc } from "../../conformance/edges/grpc.ts";
import { until } from "../../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { GapMeter, type Gaps } from "./gaps.ts";
import { Ledger } from "./ledger.ts";
import { Load, type LoadOptions } from "./load.ts";
import { clientWatcher, rawSse, rawWatcher, type Watcher } from "./watchers.ts";

/** Times without service around a fault: of publishers, and of watchers. */
export interface FaultGaps {
  readonly publishing: Gaps;
  readonly watching: Gaps;
}

/** A cluster under load, with watchers of every sort, each of which begins at another server. */
export class Scene {
  readonly cluster: Cluster;
  readonly ledger = new Ledger();
  readonly load: Load;
  readonly watchers: readonly Watcher[];
  readonly #publishing = new GapMeter();
  readonly #watching = new GapMeter();

  constructor(cluster: Cluster, load: Omit<LoadOptions, "ledger" | "urls" | "gaps"> = {}) {
    this.cluster = cluster;
    const { urls } = cluster;
    const { ledger } = this;
    const of = (name: string, first: number) => ({ name, ledger, urls, first, gaps: this.#watching });
    this.watchers = [
      clientWatcher(of("client 1", 0)),
      clientWatcher(of("client 2", 1)),
      clientWatcher({ ...of("slow client", 2), slow: true }),
      rawWatcher(connectHttp1, of("Connect", 0)),
      rawWatcher(grpc, of("gRPC", 1)),
      rawWatcher(rawSse, of("SSE 1", 0)),
      rawWatcher(rawSse, of("SSE 2", 1)),
    ];
    this.load = new Load({ ledger, urls, gaps: this.#publishing, ...load });
  }

  /** Waits until this many more events were acknowledged. */
  async more(count: number): Promise<void> {
    const target = this.ledger.acknowledged + count;
    await until(() => {
      if (this.load.failure !== undefined) throw this.load.failure;
      return this.ledger.acknowledged >= target;
    }, `${count} more events to be acknowledged`);
  }

  /** Waits until every producer and every watcher was served after now, and every server is ready. */
  async served(): Promise<void> {
    const now = performance.now();
    await until(() => {
      if (this.load.failure !== undefined) throw this.load.failure;
      return this.#publishing.servedSince(now) && this.#watching.servedSince(now);
    }, "every client to be served");
    for (const server of this.cluster.servers) {
      await until(async () => (await server.readiness())?.status === 200, `${server.name} to be ready`);
    }
  }

  /** The times without service of what `act` does, until every client is served again after it. */
  async gapsOf(act: () => Promise<unknown>): Promise<FaultGaps> {
    await this.served();
    this.#publishing.reset();
    this.#watching.reset();
    await act();
    await this.served();
    return { publishing: this.#publishing.gaps, watching: this.#watching.gaps };
  }

  /** Ends the load, waits for the watchers, ends them, and gives what is wrong: nothing, if all have everything once. */
  async verdict(): Promise<readonly string[]> {
    await this.load.stop();
    const { watchers } = this;
    const isDone = (): boolean => watchers.every(({ verifier }) => verifier.hasAll || verifier.faults.length > 0);
    const problems: string[] = [];
    await until(isDone, "the watchers to have everything").catch((error: Error) => problems.push(error.message));
    for (const watcher of watchers) {
      await watcher.stop().catch((error: Error) => problems.push(error.message));
    }
    return [...problems, ...watchers.flatMap(({ verifier }) => verifier.finish())];
  }
}
