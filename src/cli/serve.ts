import { existsSync } from "node:fs";
import type { TailraceError } from "../base/errors.ts";
import type { LogHealth } from "../log/contract.ts";
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

/** The same once the log can't be used: there is nothing that could be written any more. */
const closeAwayMs = 3_000;

/** NATS does not say which interval it has, nor that it has forgotten something. */
const oneReplica =
  "one replica: a loss of power takes what was acknowledged in the last two minutes, and only who has read it is told, unless NATS has sync_interval: always";

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
  if (typeof settings.log === "object" && (settings.nats?.replicas ?? 1) === 1) say(oneReplica);
  const failure = await stopOrFailure(served.runtime, stop.signal);
  if (failure !== undefined) say(failure.message);
  const code = failure === undefined ? exitCodes.ok : exitCodes.failed;
  const commandGraceMs = Math.max(0, ...operations.map(({ cancelGraceMs }) => cancelGraceMs));
  const boundMs = closeBoundMs + commandGraceMs;
  const bound = setTimeout(() => {
    say(`could not close within ${boundMs / 1000} s; ending now. What was acknowledged is kept.`);
    process.exit(exitCodes.failed);
  }, boundMs);
  const { log } = served.runtime;
  let away: NodeJS.Timeout | undefined;
  const look = ({ available }: LogHealth) => {
    // Ended by what can't be helped: for whoever asked for the end, it is in order.
    if (!available) away ??= setTimeout(() => process.exit(code), closeAwayMs + commandGraceMs);
  };
  const unsubscribe = log.subscribeHealth(look);
  look(log.health());
  await served.close(closeGraceMs);
  unsubscribe();
  clearTimeout(away);
  clearTimeout(bound);
  return code;
}

/**
 * Settles when someone says stop, or with what a log says that has ended: a supervisor starts the server again then. Until
 * then it says when the log goes away and when it comes back.
 */
function stopOrFailure({ log }: Runtime, stop: AbortSignal): Promise<TailraceError | undefined> {
  return new Promise((resolve) => {
    const settle = (failure: TailraceError | undefined) => {
      unsubscribe();
      resolve(failure);
    };
    const look = (health: LogHealth) => {
      if (health.available) say("the log can be used again");
      else if (health.ended === true) settle(health.error);
      else say(health.error.message);
    };
    const unsubscribe = log.subscribeHealth(look);
    stop.addEventListener("abort", () => settle(undefined), { once: true });
    if (stop.aborted) settle(undefined);
    const health = log.health();
    if (!health.available) look(health);
  });
}
