import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Contender, RunningServer, ScenarioName, StartRequest, Watching } from "../contenders/contract.ts";
import { BenchError } from "../harness/bench-error.ts";
import type { LoadResult, LoadStages } from "../harness/load-client.ts";
import { runLoad } from "../harness/load-client.ts";

/** Figures of one cell in one round, by name. The names say their unit. */
export type Figures = Readonly<Record<string, number>>;

/** One measurement: a scenario in one setting. It starts its own server and stops it. */
export interface Cell {
  readonly scenario: ScenarioName;
  readonly setting: string;
  /** Contenders of the scenario that this setting leaves out. */
  readonly excludes?: (contender: Contender) => boolean;
  measure(bench: CellContext, contender: Contender): Promise<Figures>;
}

/** What a run gives to its cells. */
export interface CellContext {
  readonly programs: { readonly load: string; readonly limit: string };
  readonly memoryDirectory: string;
  readonly diskDirectory: string;
  /** Factor on the length of the counting windows: below one for a quick look. */
  readonly pace: number;
}

export interface Session {
  readonly server: RunningServer;
  readonly request: StartRequest;
  load(loadArguments: readonly string[], stages?: LoadStages, limitMs?: number): Promise<LoadResult>;
  restart(): Promise<void>;
}

let cells = 0;

/** Starts a contender's server for one cell, and stops it whatever happens. */
export async function withServer<T>(
  context: CellContext,
  contender: Contender,
  options: Pick<StartRequest, "retainEvents" | "servers" | "publishesInside">,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  cells++;
  const directory = join(context.memoryDirectory, `cell-${cells}`);
  const diskDirectory = join(context.diskDirectory, `cell-${cells}`);
  mkdirSync(directory);
  mkdirSync(diskDirectory);
  const progressFile = join(directory, "progress");
  writeFileSync(progressFile, Buffer.alloc(4096));
  const request: StartRequest = { directory, diskDirectory, progressFile, programs: context.programs, ...options };
  let server = await contender.start(request);
  const session: Session = {
    get server() {
      return server;
    },
    request,
    load(loadArguments, stages = {}, limitMs = 120_000) {
      const common = [
        "--port",
        (server.ports ?? [server.port]).join(","),
        "--server-pids",
        server.pids.join(","),
        "--progress",
        progressFile,
      ];
      return runLoad(context.programs.load, [...common, ...loadArguments], stages, limitMs);
    },
    async restart() {
      if (server.restart !== undefined) {
        server = await server.restart();
        return;
      }
      await server.stop();
      server = await contender.start(request);
    },
  };
  try {
    return await use(session);
  } catch (error) {
    // The server's own words say more than the connections that it lost.
    const words = server.commands?.ended === true ? server.commands.errors.trim() : "";
    throw error instanceof BenchError && words !== ""
      ? new BenchError(`${error.message}; the server ended: ${words}`)
      : error;
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
    rmSync(diskDirectory, { recursive: true, force: true });
  }
}

export type Pace =
  | { readonly kind: "closed"; readonly ahead: number }
  | { readonly kind: "open"; readonly rate: number }
  | { readonly kind: "single"; readonly intervalMs: number; readonly count?: number };

/** Events of one turn of a closed loop. */
const batch = 64;

function command(pace: Pace, workers: number): string {
  if (pace.kind === "closed") return `publish closed ${batch} ${pace.ahead} ${workers}`;
  if (pace.kind === "open") return `publish open ${pace.rate} ${workers}`;
  return `publish single ${pace.intervalMs} ${pace.count ?? 1}`;
}

function clientPublishing(pace: Pace): readonly string[] {
  if (pace.kind === "closed") return ["--ahead", String(pace.ahead)];
  if (pace.kind === "open") return ["--publish-rate", String(pace.rate)];
  return ["--publish-rate", String(1000 / pace.intervalMs), "--stamp-actual"];
}

export interface WindowOptions {
  readonly watchers: number;
  readonly pace: Pace;
  readonly warmSeconds: number;
  readonly windowSeconds: number;
  readonly stall?: number;
  readonly workers?: number;
  readonly watching?: Watching;
}

/** Publishes at a pace and counts what arrives in a window. */
export async function measureWindow(
  session: Session,
  contender: Contender,
  options: WindowOptions,
): Promise<LoadResult> {
  const commands = session.server.commands;
  const publishing =
    commands === undefined ? [...(contender.publish?.() ?? []), ...clientPublishing(options.pace)] : [];
  const seconds = options.warmSeconds + options.windowSeconds;
  return session.load(
    [
      ...["--mode", "window", "--watchers", String(options.watchers), "--stall", String(options.stall ?? 0)],
      ...["--warm", String(options.warmSeconds), "--window", String(options.windowSeconds), "--cap", "20"],
      ...contender.watch(options.watching ?? {}),
      ...publishing,
    ],
    {
      admitted({ admitted, of }) {
        if (admitted < of) throw new BenchError(`only ${admitted} of ${of} watchers were admitted in 20 s`);
        commands?.send(command(options.pace, options.workers ?? 1));
      },
    },
    (seconds + 45) * 1000,
  );
}

/** Figures that every window has. */
export function windowFigures(result: LoadResult): Figures {
  return {
    events_per_second: result.events / result.seconds,
    server_cpu_us_per_event: result.events > 0 ? (result.server_cpu * 1e6) / result.events : Number.NaN,
    server_cores: result.server_cpu / result.seconds,
    load_cores: result.client_cpu / result.seconds,
    other_cores: result.other_cpu / result.seconds,
    p50_ms: result.p50_us / 1000,
    p99_ms: result.p99_us / 1000,
    rss_mb: result.rss_end_kb / 1024,
    missing: result.missing,
    repeated: result.repeated,
  };
}
