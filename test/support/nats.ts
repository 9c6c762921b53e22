import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { leaderOf } from "./nats-leader.ts";
import { type NatsOptions, type NatsProcess, startNatsProcesses } from "./nats-process.ts";
import { scratchDirectory } from "./scratch.ts";

export type { NatsOptions, NatsProcess } from "./nats-process.ts";

/** Three servers that replicate what is stored with more than one replica. */
export interface NatsCluster {
  readonly servers: readonly NatsProcess[];
  /** Addresses of all, for a client that may use any. */
  readonly urls: readonly string[];
  /** The server that leads a stream now. */
  leaderOf(stream: string): Promise<NatsProcess>;
}

/**
 * A nats-server that ends with the test.
 * @param atEnd that of the test's context, where tests run at the same time.
 */
export async function startNats(options: NatsOptions = {}, atEnd = onTestFinished): Promise<NatsProcess> {
  const servers = await startNatsProcesses(1, scratchDirectory(atEnd), options);
  atEnd(() => killAll(servers));
  return servers[0] as NatsProcess;
}

/** A nats-server for all tests of a file. Called where tests are declared; gives the server while they run. */
export function natsForFile(options: NatsOptions = {}): () => NatsProcess {
  let server: NatsProcess | undefined;
  const directory = mkdtempSync(join(tmpdir(), "tailrace-test-"));
  beforeAll(async () => {
    [server] = await startNatsProcesses(1, directory, options);
  });
  afterAll(async () => {
    await server?.kill();
    rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });
  return () => {
    if (server === undefined) throw new Error("the server runs while tests do");
    return server;
  };
}

/** A cluster of three that ends with the test, as `startNats`. */
export async function startNatsCluster(options: NatsOptions = {}, atEnd = onTestFinished): Promise<NatsCluster> {
  const servers = await startNatsProcesses(3, scratchDirectory(atEnd), options);
  atEnd(() => killAll(servers));
  return { servers, urls: servers.map(({ url }) => url), leaderOf: (stream) => leaderOf(servers, stream) };
}

async function killAll(servers: readonly NatsProcess[]): Promise<void> {
  await Promise.all(servers.map((server) => server.kill()));
}
