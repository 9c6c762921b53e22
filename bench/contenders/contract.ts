import type { ServerProcess } from "../harness/server-process.ts";

export const scenarioNames = [
  "fanout",
  "open-loop",
  "single",
  "replay",
  "append",
  "idle",
  "stalled",
  "workers",
  "interference",
  "client",
  "jetstream-append",
  "jetstream-delivery",
  "jetstream-replay",
  "jetstream-slopes",
] as const;
export type ScenarioName = (typeof scenarioNames)[number];

/** What a cell needs of a server when it starts. */
export interface StartRequest {
  /** A directory of this cell, in memory. */
  readonly directory: string;
  /** A directory of this cell on a disk, for what must survive. */
  readonly diskDirectory: string;
  /** File through which the load client says how far the slowest watcher is. */
  readonly progressFile: string;
  /** Directory of the programs that this run has built. */
  readonly programs: { readonly load: string; readonly limit: string };
  /** Events that are kept at most. Unset: a contender's least, where nothing is replayed. */
  readonly retainEvents?: number;
  /** Servers that serve one log. Default: 1. Contenders that are servers themselves have one. */
  readonly servers?: number;
  /** The process that publishes is a contender's own: it goes to the load client's core, which has nothing else to do then. */
  readonly publishesInside?: boolean;
}

export interface RunningServer {
  readonly port: number;
  /** Of all servers, where watchers are spread over several. Unset: `port` alone. */
  readonly ports?: readonly number[];
  readonly pids: readonly number[];
  /** The process that takes the commands of bench/servers/control.ts. Unset: the load client publishes. */
  readonly commands?: ServerProcess;
  /** What the log takes on the disk. */
  diskBytes?(): Promise<number>;
  /** Ends everything in order and starts it again with what it stored. Unset: it is stopped and started. */
  restart?(): Promise<RunningServer>;
  stop(): Promise<void>;
}

export interface Watching {
  /** Every watcher watches a worker of its own. */
  readonly workers?: boolean;
  /** From the earliest event on. */
  readonly earliest?: boolean;
}

/** One product in one configuration. */
export interface Contender {
  /** For `--only`: a contender is chosen by its name or by what stands before the first dash. */
  readonly name: string;
  readonly title: string;
  readonly scenarios: readonly ScenarioName[];
  /** Why it can't run here, in words that say what to install. Unset: it can. */
  missing(): string | undefined;
  start(request: StartRequest): Promise<RunningServer>;
  /** What the load client needs to watch it. */
  watch(watching: Watching): readonly string[];
  /** What the load client needs to publish to it, for contenders whose publishers are clients. */
  publish?(): readonly string[];
  /** What the load client needs for its acknowledged appends, by name of the way. */
  readonly appends?: Readonly<Record<string, readonly string[]>>;
  /** Whether its own process takes the command `append`. */
  readonly appendsInside?: boolean;
  /** Takes seconds for one batch to 1,000 watchers, and delivers nothing in between: the window must see several. */
  readonly burstsAtManyWatchers?: boolean;
  /** The server is stopped and started again after it was filled, so that a replay comes from its disk. */
  readonly restartBeforeReplay?: boolean;
}
