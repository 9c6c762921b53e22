import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { TailraceError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { exitCodes } from "./exit-codes.ts";
import { dataDirectory, openRuntime, type ServedRuntime } from "./open-runtime.ts";
import type { OperationConfig } from "./operations/config.ts";
import { startGuardIn } from "./operations/earlier-commands.ts";
import type { RuntimeSettings } from "./options/runtime-options.ts";
import { say } from "./report.ts";
import { GracefulStop } from "./stop-signals.ts";

/**
 * Milliseconds that watchers have to take what was written for them, and after which the process ends whatever hangs. A
 * command of an operation has its grace on top.
 */
const closeGraceMs = 5_000;
const closeBoundMs = 10_000;

/** Milliseconds between two looks at whether the log has ended. */
const lookMs = 500;

/** `tailrace serve`: a runtime, with operations that jobs run, until someone says stop. */
export async function serve(settings: RuntimeSettings, operations: readonly OperationConfig[]): Promise<number> {
  // Before the log is opened: a signal meanwhile must not leave it half open.
  using stop = new GracefulStop();
  for (const { name, cwd } of operations) {
    // No error: something may make it before the first job.
    if (cwd !== undefined && !existsSync(cwd)) say(`operations.${name}.cwd: there is no directory ${cwd} yet`);
  }
  const { registerOperations } = await import("./operations/register.ts");
  let served: ServedRuntime;
  try {
    served = await openRuntime(settings, stop.signal);
  } catch (error) {
    if (stop.signal.aborted && error === stop.signal.reason) return exitCodes.ok;
    throw error;
  }
  try {
    const directory = dataDirectory(settings);
    if (operations.length > 0 && directory !== undefined) await startGuardIn(directory);
    // Jobs that wait from before start here, where they can be told of the server.
    registerOperations(served.runtime, operations);
  } catch (error) {
    await served.close(0);
    throw error;
  }
  if (served.commands !== undefined) process.stdout.write(`tailrace commands ${served.commands.url}\n`);
  process.stdout.write(`tailrace ready ${served.server.url}\n`);
  const failure = await stopOrFailure(served.runtime, stop.signal);
  if (failure !== undefined) say(failure.message);
  const boundMs = closeBoundMs + Math.max(0, ...operations.map(({ cancelGraceMs }) => cancelGraceMs));
  const bound = setTimeout(() => {
    say(`could not close within ${boundMs / 1000} s; ending now. What was acknowledged is kept.`);
    process.exit(exitCodes.failed);
  }, boundMs);
  await served.close(closeGraceMs);
  clearTimeout(bound);
  return failure === undefined ? exitCodes.ok : exitCodes.failed;
}

/** Waits until someone says stop, or the log has ended, and gives what that says: a supervisor starts the server again then. */
async function stopOrFailure(runtime: Runtime, stop: AbortSignal): Promise<TailraceError | undefined> {
  while (!stop.aborted) {
    const health = runtime.health();
    if (!health.available && health.ended === true) return health.error;
    await delay(lookMs, undefined, { signal: stop }).catch(() => undefined);
  }
  return undefined;
}
