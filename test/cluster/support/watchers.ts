import { setTimeout as delay } from "node:timers/promises";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Severity, type StreamDiagnostic } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import { watch } from "../../../src/client/index.ts";
import type { Edge, EdgeWatch, Frame, WatchRequest } from "../../conformance/edges/edge.ts";
import { sseEdge } from "../../conformance/edges/sse.ts";
import { connectSse } from "../../support/sse-reader.ts";
import { failoverTransport } from "./failover.ts";
import type { GapMeter } from "./gaps.ts";
import type { Ledger } from "./ledger.ts";
import { Verifier } from "./verifier.ts";

/** Milliseconds between two signs of life that a raw watcher asks for, and after which it leaves a server that gives none. */
const heartbeatMs = 1_000;
const silenceMs = 10_000;

/** Milliseconds between two tries of a raw watcher. */
const againMs = 50;

export interface WatcherOptions {
  readonly name: string;
  readonly ledger: Ledger;
  readonly urls: readonly string[];
  /** Which of them it begins with. */
  readonly first: number;
  readonly gaps: GapMeter;
}

/** A reader of the whole log from its beginning, which goes from server to server as they come and go. */
export interface Watcher {
  readonly verifier: Verifier;
  /** Notices of outages of the log, in order, and connections so far. */
  readonly outages: readonly StreamDiagnostic[];
  readonly connections: number;
  /** Ends it. @throws why it ended by itself, which it never may. */
  stop(): Promise<void>;
}

/** Events after which a slow watcher takes nothing for a while, and for how long. It must keep up with the load in all. */
const slowEvents = 1_000;
const slowMs = 1_500;

/** One that reads with the resumable client. `slow`: it takes nothing for a while, again and again. */
export function clientWatcher(options: WatcherOptions & { readonly slow?: boolean }): Watcher {
  const { name, ledger, urls, first, gaps, slow } = options;
  const verifier = new Verifier(name, ledger);
  const left = new AbortController();
  let connections = 0;
  let untilPause = slowEvents;
  const watching = watch({
    transport: failoverTransport(urls, first),
    startAt: "earliest",
    signal: left.signal,
    backoff: { initialMs: 50, maxMs: 500 },
    verifyWorkerSequence: true,
    onStatus: (status) => {
      if (status.kind === "opened") connections++;
      if (status.kind === "sequence_hole" || status.kind === "gap") {
        verifier.faults.push(`${name}: the client says ${status.kind}`);
      }
    },
  });
  const reading = settled(async () => {
    for await (const { events } of watching.batches()) {
      for (const event of events) verifier.take(event);
      if (!slow) gaps.stamp(name);
      untilPause -= events.length;
      if (slow && untilPause <= 0) {
        untilPause = slowEvents;
        await delay(slowMs);
      }
    }
    if (!left.signal.aborted) throw new Error(`${name} ended`);
  });
  return {
    verifier,
    outages: [],
    get connections() {
      return connections;
    },
    async stop() {
      left.abort();
      await reading();
    },
  };
}

/** One that speaks to servers over an edge as it is, and comes back with the cursor of the last frame that it had. */
export function rawWatcher(edge: Edge, options: WatcherOptions): Watcher {
  const reader = new RawReader(edge, options);
  const reading = settled(() => reader.run());
  return {
    verifier: reader.verifier,
    outages: reader.outages,
    get connections() {
      return reader.connections;
    },
    async stop() {
      reader.leave();
      await reading();
    },
  };
}

/** Server-sent events over a connection that is given up where nothing answers. */
export const rawSse = sseEdge("SSE", "http1", (url, options) => {
  let abandon: () => void = () => undefined;
  const silence = setTimeout(() => abandon(), silenceMs);
  const opening = connectSse(url, options, (how) => {
    abandon = how;
  });
  return opening.finally(() => clearTimeout(silence));
});

class RawReader {
  readonly verifier: Verifier;
  readonly outages: StreamDiagnostic[] = [];
  connections = 0;
  readonly #edge: Edge;
  readonly #options: WatcherOptions;
  #cursor = "";
  #watch: EdgeWatch | undefined;
  #left = false;

  constructor(edge: Edge, options: WatcherOptions) {
    this.#edge = edge;
    this.#options = options;
    this.verifier = new Verifier(options.name, options.ledger);
  }

  leave(): void {
    this.#left = true;
    this.#watch?.leave();
  }

  async run(): Promise<void> {
    const { urls, first } = this.#options;
    for (let turn = first; !this.#left; turn++) {
      const url = urls[turn % urls.length] as string;
      const start =
        this.#cursor === "" ? {} : ({ start: { case: "cursor", value: this.#cursor } } satisfies WatchRequest);
      const watching = this.#edge.watch(url, { heartbeatInterval: durationFromMs(heartbeatMs), ...start });
      this.#watch = watching;
      this.connections++;
      await this.#read(watching);
      watching.leave();
      if (!this.#left) await delay(againMs);
    }
  }

  /** Reads one connection to its end. @throws if the server refuses what no server may. */
  async #read(watching: EdgeWatch): Promise<void> {
    for (;;) {
      let frame: Frame | undefined;
      const silence = setTimeout(() => watching.leave(), silenceMs);
      try {
        frame = await watching.next();
      } catch {
        // The connection broke, in whatever way that looks there.
        return;
      } finally {
        clearTimeout(silence);
      }
      if (frame === undefined || this.#left) return;
      this.#take(frame);
    }
  }

  #take(frame: Frame): void {
    if (frame.case === "events") {
      for (const event of frame.value.events) this.verifier.take(event);
      this.#options.gaps.stamp(this.verifier.name);
    }
    if (frame.value.cursor !== "") this.#cursor = frame.value.cursor;
    if (frame.case !== "diagnostic") return;
    const { reason, severity, message } = frame.value;
    if (reason.case === "logUnavailable") this.outages.push(frame.value);
    else if (severity === Severity.TERMINAL && reason.case !== "serverClosing") {
      throw new Error(`${this.verifier.name} was refused: ${reason.case} ${message}`);
    }
  }
}

/** Runs at once; the function given waits for it, so that a failure meanwhile is nobody's unhandled rejection. */
function settled(run: () => Promise<void>): () => Promise<void> {
  const outcome = run().then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  return async () => {
    const failed = await outcome;
    if (failed !== undefined) throw failed.error;
  };
}
