import type { RetentionLimits } from "../../base/limits.ts";
import type { NatsSettings } from "./nats-options.ts";
import { usageError } from "./parse.ts";
import { flag, type OptionValues, value } from "./spec.ts";
import { anyText, byteCount, count, durationMs, type LogChoice, listenAddress, logChoice, oneOf } from "./values.ts";

/** Where a runtime of ours listens and keeps its log, unless told otherwise. */
export const defaultListen = "127.0.0.1:7433";
export const defaultDirectory = "./tailrace-data";

/** The options of the commands that own a runtime. */
export const runtimeOptions = {
  listen: value(
    "HOST:PORT",
    `Where to listen; port 0 takes one that is free. Default: ${defaultListen}.`,
    listenAddress,
  ),
  data: value("DIR", `Directory of the log; made if it is not there. Default: ${defaultDirectory}.`, anyText),
  log: value(
    "KIND",
    "embedded (default: durable, in --data), memory (nothing survives the process), or nats://HOST:PORT,HOST:PORT (in NATS JetStream, which replicates it).",
    logChoice,
  ),
  durability: value(
    "MODE",
    "What an acknowledged event survives: fsync (default: a loss of power) or process (a crash of the process).",
    oneOf("fsync", "process"),
  ),
  "retain-worker-events": value("N", "Events kept per worker. Default: 100,000.", count),
  "retain-worker-bytes": value("SIZE", "Bytes kept per worker, for example 64MiB (default).", byteCount),
  "retain-worker-age": value("TIME", "How long events of a worker are kept, for example 7d (default).", durationMs),
  "retain-events": value("N", "Events kept in all. Default: 1,000,000.", count),
  "retain-bytes": value("SIZE", "Bytes kept in all, for example 1GiB (default).", byteCount),
  "retain-age": value("TIME", "How long events are kept, for example 7d (default).", durationMs),
  insecure: flag("Listen on an address that other machines reach, although any of them may then watch and publish."),
} as const;

/** What a runtime of ours is to be. What is undefined has its default. */
export interface RuntimeSettings {
  readonly listen: string | undefined;
  /** Where jobs and publishing are served, apart from what observes. Absent: where everything is. */
  readonly commandListen?: string | undefined;
  readonly data: string | undefined;
  readonly log: LogChoice | undefined;
  /** Of a log in NATS only. */
  readonly nats?: NatsSettings;
  readonly durability: "fsync" | "process" | undefined;
  readonly insecure: boolean;
  readonly retention: Partial<RetentionLimits>;
}

/** Names of the retention limits as options have them, and as `new Runtime()` does. */
export const retentionNames = {
  "retain-worker-events": "workerEvents",
  "retain-worker-bytes": "workerBytes",
  "retain-worker-age": "workerAgeMs",
  "retain-events": "events",
  "retain-bytes": "bytes",
  "retain-age": "ageMs",
} as const;

export type RetentionName = keyof typeof retentionNames;

/** The settings that the command line gives. @throws TailraceError for options that contradict each other. */
export function settingsOf(command: string, values: OptionValues<typeof runtimeOptions>): RuntimeSettings {
  for (const name of ["data", "durability"] as const) {
    if (values[name] === undefined) continue;
    if (values.log === "memory") {
      throw usageError(command, `--${name}`, "Not with --log memory, which writes nothing to disk.");
    }
    if (typeof values.log === "object") {
      throw usageError(command, `--${name}`, "Not with a log in NATS, which decides that itself.");
    }
  }
  const retention: Partial<Record<keyof RetentionLimits, number>> = {};
  for (const [option, name] of Object.entries(retentionNames) as [RetentionName, keyof RetentionLimits][]) {
    const limit = values[option];
    if (limit !== undefined) retention[name] = limit;
  }
  const { listen, data, log, durability, insecure } = values;
  return { listen, data, log, durability, insecure, retention };
}

/** Settings of which those of `upper` win. */
export function layered(lower: RuntimeSettings, upper: RuntimeSettings): RuntimeSettings {
  return {
    listen: upper.listen ?? lower.listen,
    commandListen: upper.commandListen ?? lower.commandListen,
    data: upper.data ?? lower.data,
    log: upper.log ?? lower.log,
    nats: { ...lower.nats, ...upper.nats },
    durability: upper.durability ?? lower.durability,
    insecure: upper.insecure || lower.insecure,
    retention: { ...lower.retention, ...upper.retention },
  };
}
