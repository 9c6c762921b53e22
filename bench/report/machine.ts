import { spawnSync } from "node:child_process";
import { cpus, release, type as systemType, totalmem } from "node:os";
import { findNatsServer } from "../harness/nats-server.ts";

export interface Machine {
  readonly date: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  readonly node: string;
  readonly peers: Readonly<Record<string, string>>;
}

function versionOf(command: string, commandArguments: readonly string[]): string | undefined {
  const result = spawnSync(command, [...commandArguments], { encoding: "utf8" });
  const text = `${result.stdout ?? ""}${result.stderr ?? ""}`;
  return /\d+\.\d+\.\d+/.exec(text)?.[0];
}

/** What the figures depend on. No host name and no path: the file is published. @param withJetStream whether our log was in it. */
export function describeMachine(withJetStream: boolean): Machine {
  const newer = withJetStream ? findNatsServer().path : undefined;
  const found = {
    "redis-server": versionOf("/usr/bin/redis-server", ["--version"]),
    "nats-server": versionOf("/usr/sbin/nats-server", ["--version"]),
    "nats-server of jetstream": newer === undefined ? undefined : versionOf(newer, ["--version"]),
    nginx: versionOf("/usr/sbin/nginx", ["-v"]),
    gcc: versionOf("gcc", ["-dumpfullversion"]),
  };
  const peers: Record<string, string> = {};
  for (const [name, version] of Object.entries(found)) if (version !== undefined) peers[name] = version;
  return {
    date: new Date().toISOString(),
    processor: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${systemType()} ${release().split("-")[0]}`,
    node: process.version,
    peers,
  };
}

export function captionOf(machine: Machine): string {
  return `${machine.date.slice(0, 10)}, ${machine.cores} cores ${machine.processor}, ${machine.memoryGb} GB, ${machine.system}, Node ${machine.node}; server on one core, load client on another, loopback, 200-byte payload`;
}
