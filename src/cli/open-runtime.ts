import { resolve } from "node:path";
import type { EventLog } from "../log/contract.ts";
import { Runtime } from "../runtime/runtime.ts";
import { createServer, type Server } from "../server/index.ts";
import { defaultDirectory, defaultListen, type RuntimeSettings } from "./options/runtime-options.ts";

/** A runtime that is served. */
export interface ServedRuntime {
  readonly runtime: Runtime;
  readonly server: Server;
  /** Ends every watch with a position to come back with, then closes the log. `graceMs`: for readers to take the rest. */
  close(graceMs: number): Promise<void>;
}

/** Opens the log, the runtime and its port, or none of them. @throws TailraceError that says what to do. */
export async function openRuntime(settings: RuntimeSettings): Promise<ServedRuntime> {
  const runtime = new Runtime({ log: await openLog(settings) });
  try {
    const server = await createServer({
      runtime,
      listen: settings.listen ?? defaultListen,
      insecure: settings.insecure,
    });
    return {
      runtime,
      server,
      async close(graceMs) {
        await server.close({ graceMs });
        await runtime.close();
      },
    };
  } catch (error) {
    await runtime.close();
    throw error;
  }
}

async function openLog(settings: RuntimeSettings): Promise<EventLog> {
  const { retention } = settings;
  if (settings.log === "memory") {
    const { MemoryLog } = await import("../log/memory/index.ts");
    return new MemoryLog({ retention });
  }
  const { openEmbeddedLog } = await import("../log/embedded/index.ts");
  return openEmbeddedLog({
    directory: resolve(settings.data ?? defaultDirectory),
    durability: settings.durability ?? "fsync",
    retention,
  });
}
