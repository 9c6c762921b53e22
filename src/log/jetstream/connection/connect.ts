import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection, type ServerInfo } from "@nats-io/transport-node";
import { fullJitter } from "../../../base/backoff.ts";
import { type Clock, systemClock } from "../../../base/clock.ts";
import type { TailraceError } from "../../../base/errors.ts";
import { limits } from "../../../base/limits.ts";
import {
  isJetStreamOff,
  isNoAnswer,
  lowestMaxPayload,
  lowestServer,
  openErrorOf,
  payloadTooSmall,
  silent,
  tooOld,
} from "../errors.ts";
import { type NatsConnectOptions, targetOf } from "./connect-options.ts";

/** Tries to come back follow each other slowly enough for a server that starts, and fast enough for one that moved. */
const reconnectBackoff = { initialMs: 100, maxMs: 2_000 };

/** Milliseconds that one question to JetStream may take while opening; then it is asked again. */
const questionMs = 2_000;
const askAgainMs = 100;

/** A connection to NATS that comes back by itself until it is closed. */
export interface NatsLink {
  readonly connection: NatsConnection;
  /** Addresses that were named, without credentials: for messages to the operator. */
  readonly servers: string;
  /** Since when there is no connection, in milliseconds since the epoch; undefined: there is one. */
  readonly awaySinceMs: number | undefined;
  /** Calls back whenever the connection is lost or made again. Returns how to stop it. The callback must not throw. */
  subscribe(listener: (connected: boolean) => void): () => void;
  close(): Promise<void>;
}

/**
 * Connects to NATS and checks that a log can be there: JetStream answers, the server is new enough, and takes large
 * messages. It waits up to `natsOpenMs` for JetStream, since a cluster that has just started elects a leader first.
 *
 * @param pingMs milliseconds between two pings.
 * @throws TailraceError `log_open_failed` whose message says what to do, `invalid_request` for options.
 */
export async function openLink(
  options: NatsConnectOptions,
  clock: Clock = systemClock,
  pingMs: number = limits.natsPingMs,
): Promise<NatsLink> {
  const target = targetOf(options);
  const servers = target.servers.join(", ");
  let link: Link | undefined;
  let attempt = 0;
  try {
    const connection = await connect({
      name: "tailrace",
      servers: [...target.servers],
      ...(target.authenticator === undefined ? {} : { authenticator: target.authenticator }),
      ...(target.tls === undefined ? {} : { tls: target.tls }),
      ignoreClusterUpdates: options.discoverServers === false,
      timeout: limits.natsConnectMs,
      pingInterval: pingMs,
      maxPingOut: limits.natsPingsOut,
      maxReconnectAttempts: -1,
      // An account that is changed, or a server that starts without its users, must not end the log.
      ignoreAuthErrorAbort: true,
      // Asked once per server and round: what is given is how long one server is left alone.
      reconnectDelayHandler: () => fullJitter(link?.attempts ?? ++attempt, reconnectBackoff, Math.random()),
      noAsyncTraces: true,
    });
    link = new Link(connection, servers, clock);
    await checkServer(link);
    return link;
  } catch (error) {
    await link?.close();
    throw openErrorOf(servers, error);
  }
}

async function checkServer({ connection, servers }: NatsLink): Promise<void> {
  const flaw = flawOf(`NATS at ${servers}`, connection.info);
  if (flaw !== undefined) throw flaw;
  const deadline = performance.now() + limits.natsOpenMs;
  for (;;) {
    try {
      await jetstreamManager(connection, { timeout: questionMs });
      return;
    } catch (error) {
      const failure = openErrorOf(servers, error);
      const mayPass = isJetStreamOff(error) ? connection.info?.cluster !== undefined : isNoAnswer(error);
      if (!mayPass || connection.isClosed()) throw failure;
      if (performance.now() > deadline) throw isJetStreamOff(error) ? failure : silent(servers, error);
      await new Promise((resolve) => setTimeout(resolve, askAgainMs));
    }
  }
}

/** Why a log can't be at a server; undefined: it can, as far as the server says. `name`: what it is called in the message. */
export function flawOf(name: string, info: ServerInfo | undefined): TailraceError<"log_open_failed"> | undefined {
  const { version = "unknown", max_payload: maxPayload = 0 } = info ?? {};
  if (!isNewEnough(version)) return tooOld(name, version);
  return maxPayload < lowestMaxPayload ? payloadTooSmall(name, maxPayload) : undefined;
}

function isNewEnough(version: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)\./.exec(version) ?? [];
  if (major === undefined || minor === undefined) return false;
  if (Number(major) !== lowestServer.major) return Number(major) > lowestServer.major;
  return Number(minor) >= lowestServer.minor;
}

class Link implements NatsLink {
  readonly connection: NatsConnection;
  readonly servers: string;
  readonly #clock: Clock;
  readonly #listeners = new Set<(connected: boolean) => void>();
  awaySinceMs: number | undefined;
  /** Tries to come back in a row. */
  attempts = 0;

  constructor(connection: NatsConnection, servers: string, clock: Clock) {
    this.connection = connection;
    this.servers = servers;
    this.#clock = clock;
    void this.#follow();
    void connection.closed().then(() => this.#away());
  }

  subscribe(listener: (connected: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  async #follow(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === "disconnect") this.#away();
      else if (status.type === "reconnecting") this.attempts++;
      else if (status.type === "reconnect") this.#back();
    }
  }

  #away(): void {
    if (this.awaySinceMs !== undefined) return;
    this.awaySinceMs = this.#clock.now();
    for (const listener of [...this.#listeners]) listener(false);
  }

  #back(): void {
    this.awaySinceMs = undefined;
    this.attempts = 0;
    for (const listener of [...this.#listeners]) listener(true);
  }
}
