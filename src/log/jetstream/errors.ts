import { JetStreamApiError } from "@nats-io/jetstream";
import { errors as natsErrors } from "@nats-io/transport-node";
import { hasReason, type ProblemDetails, TailraceError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { ConfigDifference } from "./stream/settings.ts";

type OpenCause = ProblemDetails["log_open_failed"]["cause"];

/** The oldest nats-server that writes several messages whole or not at all. */
export const lowestServer = { major: 2, minor: 12 } as const;

/** Bytes of a message that a server must take at the least: a run of events and its headers. */
export const lowestMaxPayload = 1024 * 1024;

/** Error codes of the JetStream API (errors.json of nats-server) that tell something to do. */
const apiCodes = {
  accountLimit: 10002,
  noSuitablePeers: 10005,
  noLeader: 10008,
  insufficientResources: 10023,
  tooManyStreams: 10027,
  memoryExceeded: 10028,
  notEnabledForAccount: 10039,
  storageExceeded: 10047,
  subjectsOverlap: 10065,
  replicasWithoutCluster: 10074,
  notEnabled: 10076,
  storeFailed: 10077,
  maxBytesRequired: 10113,
  streamBytesExceeded: 10122,
} as const;

const noRoom: ReadonlySet<number> = new Set([
  apiCodes.accountLimit,
  apiCodes.insufficientResources,
  apiCodes.memoryExceeded,
  apiCodes.storageExceeded,
  apiCodes.storeFailed,
  apiCodes.streamBytesExceeded,
]);

export function openFailed(cause: OpenCause, message: string, error?: unknown): TailraceError<"log_open_failed"> {
  return new TailraceError("log_open_failed", { cause }, message, error === undefined ? {} : { cause: error });
}

/** A server lacks what the log stands on: an atomic batch, and room for a run of events. */
export function tooOld(server: string, version: string): TailraceError<"log_open_failed"> {
  const lowest = `${lowestServer.major}.${lowestServer.minor}`;
  return openFailed(
    "unsupported",
    `${server} runs nats-server ${version}, and a log on JetStream needs ${lowest} or later, which can write several messages whole or not at all. Upgrade every server of the cluster.`,
  );
}

export function payloadTooSmall(server: string, maxPayload: number): TailraceError<"log_open_failed"> {
  return openFailed(
    "unsupported",
    `${server} takes messages of ${maxPayload} bytes at the most, and a log needs ${lowestMaxPayload}. Set max_payload to 1MB or more on every server of the cluster.`,
  );
}

/** JetStream says nothing. */
export function silent(servers: string, error: unknown): TailraceError<"log_open_failed"> {
  return openFailed(
    "unreachable",
    `NATS at ${servers} does not answer for JetStream within ${limits.natsOpenMs / 1000} s. More than half of the cluster's servers must be up.`,
    error,
  );
}

/** JetStream answers, and these streams of it do not. */
export function streamSilent(
  servers: string,
  streams: readonly string[],
  error: unknown,
): TailraceError<"log_open_failed"> {
  return openFailed(
    "unreachable",
    `NATS at ${servers} answers, but not for ${streams.join(" and ")} within ${limits.natsOpenMs / 1000} s. More than half of the servers that hold it must be up.`,
    error,
  );
}

/** A stream with settings that are not those of a log. */
export interface OtherStream {
  readonly stream: string;
  readonly differences: readonly ConfigDifference[];
}

/** Streams of these names are there already, and are not ours or were changed. */
export function otherConfiguration(streams: readonly OtherStream[], error?: unknown): TailraceError<"log_open_failed"> {
  const found = streams.map(
    (one) => `The stream ${one.stream} exists with another configuration: ${settingsOf(one)}. `,
  );
  const edits = streams.map(({ stream }) => `nats stream edit ${stream}`).join("; ");
  const change = `hange ${streams.length === 1 ? "it" : "them"} to that (${edits}), or choose another namespace.`;
  const there = moreReplicas(streams);
  const advice =
    there === undefined
      ? `C${change}`
      : `To keep its replicas, ask for ${there} (--replicas ${there}, in code replicas: ${there}). Else c${change}`;
  return openFailed("other_configuration", `${found.join("")}${advice}`, error);
}

/** How many replicas there are where fewer were asked for, mostly by nobody who meant to lose some; undefined: no more. */
function moreReplicas(streams: readonly OtherStream[]): number | undefined {
  const counts = streams
    .flatMap(({ differences }) => differences)
    .filter(({ name, found, wanted }) => name === "num_replicas" && Number(found) > Number(wanted))
    .map(({ found }) => Number(found));
  return counts.length === 0 ? undefined : Math.max(...counts);
}

/** Which settings a stream has, and should have, as a part of a sentence. */
export function settingsOf({ differences }: OtherStream): string {
  const shown = (value: unknown, none: string) => JSON.stringify(value) ?? none;
  return differences
    .map(({ name, wanted, found }) => `${name} is ${shown(found, "not set")} instead of ${shown(wanted, "not set")}`)
    .join(", ");
}

/**
 * What a failure means to the operator who opens a log. `servers`: where, without credentials. `replicas`: how many were
 * asked for.
 */
export function openErrorOf(servers: string, error: unknown, replicas = 1): TailraceError {
  if (error instanceof TailraceError) return error;
  const refused = permissionOf(error);
  if (refused !== undefined) {
    return openFailed(
      "denied",
      `The user of NATS at ${servers} has no permission for ${refused.operation === "publish" ? "publishing to" : "subscribing to"} ${refused.subject}. Give it the permissions of docs/guides/scaling.md.`,
      error,
    );
  }
  if (
    error instanceof natsErrors.AuthorizationError ||
    error instanceof natsErrors.UserAuthenticationExpiredError ||
    error instanceof natsErrors.ProtocolError
  ) {
    return openFailed(
      "denied",
      `NATS at ${servers} does not let this server in (${error.message}). Give it a user and password, a token, an nkey or a credentials file that NATS knows.`,
      error,
    );
  }
  if (isJetStreamOff(error)) {
    return openFailed(
      "unsupported",
      `NATS at ${servers} runs without JetStream, or the account may not use it. Start nats-server with -js, or enable JetStream for the account.`,
      error,
    );
  }
  const code = apiCodeOf(error);
  if (code === apiCodes.replicasWithoutCluster || isShortOfServers(error)) {
    return openFailed(
      "unsupported",
      `NATS at ${servers} has not enough servers for ${replicas} replicas of the log. Join that many servers with JetStream into a cluster, or ask for fewer replicas.`,
      error,
    );
  }
  if (code !== undefined && noRoom.has(code)) {
    return openFailed(
      "full",
      `NATS at ${servers} has no room left for the log (${(error as Error).message}). Give JetStream or the account more storage, then open it again.`,
      error,
    );
  }
  if (code === apiCodes.tooManyStreams || code === apiCodes.maxBytesRequired) {
    return openFailed(
      "denied",
      `The account of NATS at ${servers} does not allow the log's stream (${(error as Error).message}). Change the limits of the account.`,
      error,
    );
  }
  if (code === apiCodes.subjectsOverlap) {
    return openFailed(
      "other_configuration",
      `Another stream of NATS at ${servers} takes subjects of the log. Delete it or its subjects, or choose another namespace.`,
      error,
    );
  }
  if (isTlsFailure(error)) {
    return openFailed(
      "denied",
      `TLS with NATS at ${servers} fails (${(error as Error).message}). Name the file of who signed its certificate, or the address that the certificate is for, and tls:// only where NATS has TLS.`,
      error,
    );
  }
  if (isUnreachable(error)) {
    return openFailed(
      "unreachable",
      `No NATS server answers at ${servers} (${reasonOf(error)}). Start one, or name the right addresses.`,
      error,
    );
  }
  return openFailed("io", `The log on NATS at ${servers} can't be opened: ${(error as Error).message}.`, error);
}

/**
 * What a failed write means to whoever appends. Nothing was written where JetStream refused it; else nobody knows. The
 * message names no host, since it goes to clients.
 */
export function appendErrorOf(error: unknown, sinceMs: number): TailraceError {
  if (error instanceof TailraceError) return error;
  const code = apiCodeOf(error);
  if (code !== undefined && noRoom.has(code)) {
    return new TailraceError(
      "limit_exceeded",
      { limit: "storage", maximum: 0, retryAfterMs: 5_000 },
      "There is no room left in the log's stream. Nothing was written; publish again when there is.",
      { cause: error },
    );
  }
  if (permissionOf(error) !== undefined) {
    return unavailable(
      sinceMs,
      "This server has no permission of NATS to write to the log, and nothing is written until it has.",
      error,
    );
  }
  if (code !== undefined && !isJetStreamOff(error)) {
    return unavailable(sinceMs, "NATS refused the write. Nothing was written; try again.", error);
  }
  return unavailable(sinceMs, "NATS did not acknowledge the write. It may or may not be there; try again.", error);
}

/** Another server put what an append puts or depends on. */
export function conflict(sinceMs: number): TailraceError<"log_unavailable"> {
  return new TailraceError(
    "log_unavailable",
    { sinceMs, retryAfterMs: 1_000, conflict: true },
    "Another server changed what this depends on. Nothing was written; try again.",
  );
}

/** The log can't be used since then (milliseconds since the epoch). */
export function unavailable(sinceMs: number, message: string, cause?: unknown): TailraceError<"log_unavailable"> {
  return new TailraceError(
    "log_unavailable",
    { sinceMs, retryAfterMs: 1_000 },
    message,
    cause === undefined ? {} : { cause },
  );
}

/** Number of an error that the JetStream API answered with; undefined: it is another error. */
export function apiCodeOf(error: unknown): number | undefined {
  return error instanceof JetStreamApiError ? error.code : undefined;
}

/** Whether nobody answers for JetStream: it is off, or (while a cluster has no leader) can't be used right now. */
export function isJetStreamOff(error: unknown): boolean {
  // Its class is not exported.
  if (error instanceof Error && error.name === "JetStreamNotEnabled") return true;
  if (error instanceof natsErrors.NoRespondersError) return true;
  if (error instanceof natsErrors.RequestError && error.isNoResponders()) return true;
  const code = apiCodeOf(error);
  return code === apiCodes.notEnabled || code === apiCodes.notEnabledForAccount;
}

/** Whether there is no room for what was written: that of the stream, of its account or of a server. */
export function isNoRoom(error: unknown): boolean {
  if (hasReason(error, "limit_exceeded")) return error.details.limit === "storage";
  return noRoom.has(apiCodeOf(error) ?? 0);
}

/** A server of NATS answered for a stream whose leader it does not know: it says what it has, which may be less than there is. */
export class NoLeader extends Error {
  override readonly name = "NoLeader";
}

/** Whether nobody has answered in time, or nobody is there to answer, which servers say that have had no leader for ten seconds. */
export function isNoAnswer(error: unknown): boolean {
  if ((error as Error).name === "TimeoutError" || error instanceof NoLeader) return true;
  return apiCodeOf(error) === apiCodes.noLeader || isJetStreamOff(error);
}

/** Whether a cluster does not know of as many servers as a stream is to have replicas, or not of their room. */
export function isShortOfServers(error: unknown): boolean {
  return apiCodeOf(error) === apiCodes.noSuitablePeers;
}

/** The permission that something failed for want of; undefined: it did not. */
export function permissionOf(error: unknown): InstanceType<typeof natsErrors.PermissionViolationError> | undefined {
  const inner = error instanceof natsErrors.RequestError ? error.cause : error;
  return inner instanceof natsErrors.PermissionViolationError ? inner : undefined;
}

/** Errors of the system while connecting: no host, no route, TLS that does not fit. */
function isUnreachable(error: unknown): boolean {
  return (
    error instanceof natsErrors.ConnectionError ||
    error instanceof natsErrors.TimeoutError ||
    error instanceof natsErrors.ClosedConnectionError ||
    error instanceof natsErrors.RequestError ||
    typeof (error as NodeJS.ErrnoException)?.code === "string"
  );
}

/** What Node finds wrong with a certificate, or OpenSSL with anything; the client of NATS has no code for a server without TLS. */
function isTlsFailure(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return /CERT|SIGNATURE|^ERR_(TLS|SSL|OSSL)/.test(code ?? "") || message === "server does not support 'tls'";
}

function reasonOf(error: unknown): string {
  // One that asks for a certificate hangs up only after the handshake, and the client of NATS does not notice.
  if (error instanceof natsErrors.TimeoutError) return "no answer in time, or it does not take our certificate";
  return (error as Error).message;
}
