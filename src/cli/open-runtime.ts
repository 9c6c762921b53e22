import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { hasReason } from "../base/errors.ts";
import { type ReportError, reportToStandardError } from "../base/incident.ts";
import type { EventLog } from "../log/contract.ts";
import { Runtime } from "../runtime/runtime.ts";
import { checkAddresses } from "../server/bind.ts";
import { createServer, type Server, type ServerOptions } from "../server/index.ts";
import { earlierCommandsEnded } from "./operations/earlier-commands.ts";
import { natsLogOptions } from "./options/nats-options.ts";
import { defaultDirectory, defaultListen, type RuntimeSettings } from "./options/runtime-options.ts";
import { say } from "./report.ts";

/**
 * Milliseconds that a log which is being opened when someone says stop has to be opened and closed again. It may wait for
 * a store that does not answer, and one that is left in the middle is in order all the same.
 */
const openGraceMs = 2_000;

/** A runtime that is served. */
export interface ServedRuntime {
  readonly runtime: Runtime;
  /** Serves everything or, with a port for commands, what observes. */
  readonly server: Server;
  /** Serves jobs and publishing on their own port; undefined: `server` does. */
  readonly commands: Server | undefined;
  /** Ends every watch with a position to come back with, then closes the log. `graceMs`: for readers to take the rest. */
  close(graceMs: number): Promise<void>;
}

/**
 * Opens the log, the runtime and its ports, or none of them. Commands that a killed server left behind end first.
 * @throws TailraceError that says what to do, and the reason of `signal` if it aborts before the log is open or while there
 *   are such commands.
 */
export async function openRuntime(settings: RuntimeSettings, signal?: AbortSignal): Promise<ServedRuntime> {
  const { listen = defaultListen, commandListen, insecure } = settings;
  // Before the log is opened: a server that is started again and again where it can't listen would be in its history each time.
  await checkAddresses({ listen, "command-listen": commandListen }, insecure);
  const log = await unlessStopped(openLog(settings), signal);
  const directory = dataDirectory(settings);
  try {
    // With the lock, and before the runtime: it ends the jobs of the life before.
    if (directory !== undefined) {
      const onWait = () => say("waiting for the commands of the server before to end");
      await earlierCommandsEnded(directory, onWait, signal);
    }
  } catch (error) {
    await log.close();
    throw error;
  }
  // What can't be done while the log is away is no fault; that it is away is said once, by who follows its health.
  const onError: ReportError = (error, incidentId) => {
    if (log.health().available || !hasReason(error, "log_unavailable")) reportToStandardError(error, incidentId);
  };
  let runtime: Runtime;
  try {
    runtime = new Runtime({ log, onError });
  } catch (error) {
    await log.close();
    throw error;
  }
  const servers: Server[] = [];
  const close = async (graceMs: number): Promise<void> => {
    await Promise.all(servers.map((server) => server.close({ graceMs })));
    await runtime.close();
  };
  const open = async (options: Pick<ServerOptions, "listen" | "services">): Promise<Server> => {
    const server = await createServer({ runtime, insecure, onError, ...options });
    servers.push(server);
    return server;
  };
  try {
    if (commandListen === undefined) return { runtime, server: await open({ listen }), commands: undefined, close };
    const server = await open({ listen, services: ["observe"] });
    const commands = await open({ listen: commandListen, services: ["publish", "jobs"] });
    return { runtime, server, commands, close };
  } catch (error) {
    await close(0);
    throw error;
  }
}

/** @throws the reason of `signal` if that aborts before the log is open. */
async function unlessStopped(opening: Promise<EventLog>, signal: AbortSignal | undefined): Promise<EventLog> {
  if (signal === undefined) return opening;
  const { promise: stopped, resolve: settle } = Promise.withResolvers<undefined>();
  const stop = () => settle(undefined);
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  const log = await Promise.race([opening, stopped]).finally(() => signal.removeEventListener("abort", stop));
  if (log !== undefined) return log;
  const closed = opening.then((late) => late.close()).catch(() => undefined);
  await Promise.race([closed, delay(openGraceMs)]);
  throw signal.reason;
}

/** Where the log is kept; undefined: not in a directory. */
export function dataDirectory({ log, data }: RuntimeSettings): string | undefined {
  const isInDirectory = log === undefined || log === "embedded";
  return isInDirectory ? resolve(data ?? defaultDirectory) : undefined;
}

async function openLog(settings: RuntimeSettings): Promise<EventLog> {
  const { log, retention } = settings;
  if (log === "memory") {
    const { MemoryLog } = await import("../log/memory/index.ts");
    return new MemoryLog({ retention });
  }
  if (typeof log === "object") {
    const { openJetStreamLog } = await import("../log/jetstream/index.ts");
    return openJetStreamLog({ ...natsLogOptions(log, settings.nats ?? {}), retention });
  }
  const { openEmbeddedLog } = await import("../log/embedded/index.ts");
  return openEmbeddedLog({
    directory: resolve(settings.data ?? defaultDirectory),
    durability: settings.durability ?? "fsync",
    retention,
  });
}
