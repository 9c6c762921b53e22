import { onTestFinished } from "vitest";
import type { Clock } from "../../src/base/clock.ts";
import type { RetentionLimits } from "../../src/base/limits.ts";
import { MemoryLog } from "../../src/log/memory/index.ts";
import { Runtime } from "../../src/runtime/runtime.ts";
import { createServer, type Server, type ServerOptions } from "../../src/server/index.ts";

export interface Serving {
  readonly log: MemoryLog;
  readonly runtime: Runtime;
  readonly server: Server;
  /** Faults that the server reported. A test that expects none need not look: they fail it. */
  readonly faults: unknown[];
}

export interface ServingOptions extends Partial<Omit<ServerOptions, "runtime">> {
  /** A log that outlives the server. Default: one of its own. */
  readonly log?: MemoryLog;
  /** A runtime that another server serves, too. Default: one of its own. */
  readonly runtime?: Runtime;
  readonly retention?: Partial<RetentionLimits>;
  readonly expectFaults?: boolean;
  /** Clock of the runtime and its log. Default: the system's. */
  readonly runtimeClock?: Clock;
}

/**
 * A runtime with a log in memory, served on a port of its own until the test ends.
 * @param atEnd that of the test's context, where tests run at the same time.
 */
export async function serve(options: ServingOptions = {}, atEnd = onTestFinished): Promise<Serving> {
  const { log: given, runtime: shared, retention, expectFaults = false, runtimeClock, ...serverOptions } = options;
  const clock = runtimeClock === undefined ? {} : { clock: runtimeClock };
  const log =
    (shared?.log as MemoryLog | undefined) ??
    given ??
    new MemoryLog({ ...(retention === undefined ? {} : { retention }), ...clock });
  const faults: unknown[] = [];
  const report = (error: unknown): void => {
    faults.push(error);
  };
  const runtime = shared ?? new Runtime({ log, onError: report, ...clock });
  const server = await createServer({ listen: "127.0.0.1:0", onError: report, ...serverOptions, runtime });
  atEnd(async () => {
    await server.close({ graceMs: 100 });
    // A log that was given may serve several runtimes, one after the other: it is closed once.
    if (given === undefined && shared === undefined) await runtime.close();
    if (!expectFaults && faults.length > 0) throw new AggregateError(faults, "the server reported faults");
  });
  return { log, runtime, server, faults };
}
