import { hasReason } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { kindOfName } from "../../events/kinds.ts";
import { parseNatsServer } from "../../log/jetstream/connection/address.ts";
import { maxReplicas } from "../../log/jetstream/stream/replicas.ts";
import { isNamespace } from "../../log/jetstream/stream/subjects.ts";
import { parseListenAddress } from "../../server/listen-address.ts";

/**
 * Readers of option values and of the configuration file's values. Each throws a plain Error whose message says what would
 * be right; whoever calls them knows the name of the option.
 */

const durationUnits: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const byteUnits: Record<string, number> = {
  "": 1,
  B: 1,
  K: 1024,
  KB: 1000,
  KIB: 1024,
  M: 1024 ** 2,
  MB: 1000 ** 2,
  MIB: 1024 ** 2,
  G: 1024 ** 3,
  GB: 1000 ** 3,
  GIB: 1024 ** 3,
};

/** A length of time in milliseconds: "500ms", "15s", "5m", "1h30m", "7d". */
export function durationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join("") !== text) {
    throw new Error(`"${text}" is no length of time; write for example 30s, 5m, 1h30m or 7d`);
  }
  const total = parts.reduce((sum, part) => sum + Number(part[1]) * (durationUnits[part[2] as string] as number), 0);
  return safe(Math.round(total), text);
}

/** A length of time that is more than nothing. */
export function someTimeMs(text: string): number {
  const ms = durationMs(text);
  if (ms < 1) throw new Error(`"${text}" is no time at all; write for example 30s or 5m`);
  return ms;
}

/** The heartbeat of a watch, in milliseconds. */
export function heartbeatMs(text: string): number {
  const ms = durationMs(text);
  const { minHeartbeatMs, maxHeartbeatMs } = limits;
  if (ms < minHeartbeatMs || ms > maxHeartbeatMs) {
    throw new Error(`"${text}" is not between ${minHeartbeatMs / 1000}s and ${maxHeartbeatMs / 1000}s`);
  }
  return ms;
}

/** A number of bytes: "1048576", "64MiB", "1GB". */
export function byteCount(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text);
  const unit = match === null ? undefined : byteUnits[(match[2] as string).toUpperCase()];
  if (match === null || unit === undefined) {
    throw new Error(`"${text}" is no number of bytes; write for example 1048576, 64MiB or 1GB`);
  }
  return atLeastOne(safe(Math.round(Number(match[1]) * unit), text), text);
}

/** A whole number of at least 1. */
export function count(text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`"${text}" is no whole number`);
  return atLeastOne(safe(Number(text), text), text);
}

/** How many servers of NATS hold an event. */
export function replicaCount(text: string): number {
  const number = count(text);
  if (number > maxReplicas) throw new Error(`a stream of NATS has at most ${maxReplicas} replicas`);
  return number;
}

/** An amount, which may be a fraction. */
export function amount(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new Error(`"${text}" is no amount; write for example 3 or 0.5`);
  const number = Number(text);
  if (!Number.isFinite(number)) throw new Error(`"${text}" is too large`);
  return number;
}

/** How many of the newest events to begin with. */
export function lastCount(text: string): number {
  const number = count(text);
  if (number > limits.maxLast) throw new Error(`at most ${limits.maxLast} events can be asked for`);
  return number;
}

/** An instant in milliseconds since the epoch: an RFC 3339 time, or how long ago ("5m"). */
export function instantMs(text: string): number {
  if (/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/.test(text)) {
    const time = Date.parse(text);
    if (Number.isFinite(time)) return time;
  }
  try {
    return Date.now() - durationMs(text);
  } catch {
    throw new Error(`"${text}" is neither a time like 2026-01-31T12:00:00Z nor a length of time like 5m`);
  }
}

/** An id of a worker, at most 256 bytes. */
export const workerId = id;

/** An id of a job, at most 256 bytes. */
export const jobId = id;

function id(text: string): string {
  if (text === "") throw new Error("the id is empty");
  if (Buffer.byteLength(text) > limits.maxIdBytes) throw new Error(`an id has at most ${limits.maxIdBytes} bytes`);
  return text;
}

/** The name of an event kind, as query parameters have it ("output"). */
export function eventKind(text: string): number {
  const kind = kindOfName(text.toLowerCase());
  if (kind === undefined) {
    throw new Error(`"${text}" is no kind of event; write for example output, narration or worker_ended`);
  }
  return kind;
}

/** The address of a server, without a slash at the end. */
export function serverUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error(`"${text}" is no URL; write for example http://127.0.0.1:7433`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new Error(`"${text}" does not begin with http:// or https://`);
  }
  return url.href.replace(/\/+$/, "");
}

/** HOST:PORT, with an IPv6 host in brackets; port 0 asks for a free one. */
export function listenAddress(text: string): string {
  try {
    parseListenAddress(text);
  } catch (error) {
    if (hasReason(error, "invalid_request")) throw new Error(`"${text}" ${error.details.description}`);
    throw error;
  }
  return text;
}

/** A log in NATS, by the addresses of servers. */
export interface NatsLogChoice {
  readonly servers: readonly string[];
}

/** Which log a runtime has. */
export type LogChoice = "embedded" | "memory" | NatsLogChoice;

/** Reads "embedded", "memory" or "nats://HOST:PORT,HOST:PORT". */
export function logChoice(text: string): LogChoice {
  const scheme = /^(nats|tls):\/\//.exec(text)?.[0];
  if (scheme === undefined) {
    if (text === "embedded" || text === "memory") return text;
    throw new Error(`"${text}" is not one of embedded, memory, nats://HOST:PORT`);
  }
  const servers = text.split(",").map((server) => (server.includes("://") ? server : scheme + server));
  for (const server of servers) {
    try {
      parseNatsServer(server, "log");
    } catch (error) {
      // Without the text, which may hold a password.
      if (hasReason(error, "invalid_request")) throw new Error(`an address ${error.details.description}`);
      throw error;
    }
  }
  return { servers };
}

/** Where a log is: a directory, or NATS. */
export function logPlace(text: string): string | NatsLogChoice {
  const choice = /^(nats|tls):\/\//.test(text) ? logChoice(text) : text;
  return typeof choice === "string" ? text : choice;
}

/** Name of a log in NATS. */
export function namespace(text: string): string {
  if (!isNamespace(text)) throw new Error(`"${text}" is no name: letters, digits, - and _, at most 64`);
  return text;
}

/** One of a few words. */
export function oneOf<const Word extends string>(...words: readonly Word[]): (text: string) => Word {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw new Error(`"${text}" is not one of ${words.join(", ")}`);
    return found;
  };
}

/** Any text. */
export function anyText(text: string): string {
  return text;
}

function safe(number: number, text: string): number {
  if (!Number.isSafeInteger(number)) throw new Error(`"${text}" is too large`);
  return number;
}

function atLeastOne(number: number, text: string): number {
  if (number < 1) throw new Error(`"${text}" is less than 1`);
  return number;
}
