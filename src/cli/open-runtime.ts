import { resolve } from "node:path";
import type { EventLog } from "../log/contract.ts";
import { Runtime } from "../runtime/runtime.ts";
import { createServer, type Server, type ServerOptions } from "../server/index.ts";
import { natsLogOptions } from "./options/nats-options.ts";
import { defaultDirectory, defaultListen, type RuntimeSettings } from "./options/runtime-options.ts";

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

/** Opens the log, the runtime and its ports, or none of them. @throws TailraceError that says what to do. */
export async function openRuntime(settings: RuntimeSettings): Promise<ServedRuntime> {
  const { listen = defaultListen, commandListen, insecure } = settings;
  const runtime = new Runtime({ log: await openLog(settings) });
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

async function openLog(settings: RuntimeSettings): Promise<EventLog> {
  const { retention } = settings;
  if (settings.log === "memory") {
    const { MemoryLog } = await import("../log/memory/index.ts");
    return new MemoryLog({ retention });
  }
  if (typeof settings.log === "object") {
    const { openJetStreamLog } = await import("../log/jetstream/index.ts");
    return openJetStreamLog({ ...natsLogOptions(settings.log, settings.nats ?? {}), retention });
  }
  const { openEmbeddedLog } = await import("../log/embedded/index.ts");
  return openEmbeddedLog({
    directory: resolve(settings.data ?? defaultDirectory),
    durability: settings.durability ?? "fsync",
    retention,
  });
}
