import { resolve } from "node:path";
import type { EventLog } from "../log/contract.ts";
import { Runtime } from "../runtime/runtime.ts";
import { createServer, type Server, type ServerOptions } from "../server/index.ts";
import { earlierCommandsEnded } from "./operations/earlier-commands.ts";
import { natsLogOptions } from "./options/nats-options.ts";
import { defaultDirectory, defaultListen, type RuntimeSettings } from "./options/runtime-options.ts";
import { say } from "./report.ts";

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
 * @throws TailraceError that says what to do, and the reason of `signal` if it aborts while there are such commands.
 */
export async function openRuntime(settings: RuntimeSettings, signal?: AbortSignal): Promise<ServedRuntime> {
  const { listen = defaultListen, commandListen, insecure } = settings;
  const log = await openLog(settings);
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
  const runtime = new Runtime({ log });
  const servers: Server[] = [];
  const close = async (graceMs: number): Promise<void> => {
    await Promise.all(servers.map((server) => server.close({ graceMs })));
    await runtime.close();
  };
  const open = async (options: Pick<ServerOptions, "listen" | "services">): Promise<Server> => {
    const server = await createServer({ runtime, insecure, ...options });
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
