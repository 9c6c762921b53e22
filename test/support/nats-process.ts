import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { pauseProcess } from "./processes.ts";
import { stablePort } from "./stable-port.ts";
import { until } from "./until.ts";

/** How a nats-server is to be. */
export interface NatsOptions {
  /** Default: true. */
  readonly jetStream?: boolean;
  /** Bytes of files that all streams together may have. Default: what the disk has. */
  readonly storeBytes?: number;
  /** Bytes of one message. Default: the server's own, 1 MiB. */
  readonly maxPayload?: number;
  /** Whether every write is on the disk before it is acknowledged. Default: false, as the server has it. */
  readonly syncAlways?: boolean;
  /** Whether servers of a cluster tell clients of each other. Default: true. */
  readonly advertise?: boolean;
  /** Further lines of the configuration: authorization, tls. */
  readonly config?: readonly string[];
}

/** The ports of a server and of its cluster. They stay the same over every start. */
interface Ports {
  readonly client: number;
  readonly monitor: number;
  readonly route: number;
}

/** A real nats-server that can be killed, paused and started again with the same ports and files. */
export class NatsProcess {
  readonly name: string;
  readonly #directory: string;
  readonly #ports: Ports;
  #options: NatsOptions;
  /** Ports of all servers of the cluster; empty: there is none. */
  readonly #routes: readonly number[];
  #child: ChildProcess | undefined;
  #closed: Promise<unknown> = Promise.resolve();

  /** `directory`: for this server alone. */
  constructor(name: string, directory: string, ports: Ports, options: NatsOptions, routes: readonly number[] = []) {
    this.name = name;
    this.#directory = directory;
    this.#ports = ports;
    this.#options = options;
    this.#routes = routes;
    mkdirSync(directory, { recursive: true });
  }

  get port(): number {
    return this.#ports.client;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Where the server tells of itself over HTTP (`/jsz`, `/connz`). */
  get monitorUrl(): string {
    return `http://127.0.0.1:${this.#ports.monitor}`;
  }

  /** Where its streams are. */
  get storeDirectory(): string {
    return join(this.#directory, "store");
  }

  /** Id of the process; undefined: it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Begins to run, which may need others of a cluster to become ready. */
  launch(): void {
    if (this.#child !== undefined) throw new Error(`${this.name} runs already`);
    const file = join(this.#directory, "nats.conf");
    writeFileSync(file, this.#configuration());
    const command = [natsServerPath(), "--config", file];
    // Ends with us however we end, also if we are killed.
    const setpriv = "/usr/bin/setpriv";
    if (existsSync(setpriv)) command.unshift(setpriv, "--pdeathsig", "KILL");
    const [program, ...args] = command as [string, ...string[]];
    const child = spawn(program, args, { stdio: "ignore" });
    this.#child = child;
    this.#closed = once(child, "close").then(() => {
      if (this.#child === child) this.#child = undefined;
    });
  }

  /** Waits until it serves, with JetStream once the cluster has a leader. @throws NatsEnded if it ended instead. */
  async ready(): Promise<void> {
    const path = this.#options.jetStream === false ? "/healthz" : "/healthz?js-server-only=true";
    await until(async () => {
      if (this.#child === undefined) throw new NatsEnded(this.name, this.log());
      const answer = await fetch(this.monitorUrl + path).catch(() => undefined);
      await answer?.body?.cancel();
      return answer?.ok === true;
    }, `${this.name} to be ready`);
    // The first question after an election may get no answer, though all say that they are well.
    if (this.#routes.length > 0) await until(() => this.#answers(), `JetStream to answer through ${this.name}`);
  }

  /** Runs, with what it had stored before. `options`: those of now on. */
  async start(options: NatsOptions = this.#options): Promise<void> {
    this.#options = options;
    this.launch();
    await this.ready();
  }

  /** Ends it as a crash or a loss of power of the process would: nothing is said or written any more. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#closed;
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    this.resume();
    this.#child?.kill("SIGTERM");
    await this.#closed;
  }

  /** It keeps its connections and does nothing. */
  pause(): void {
    if (this.#child !== undefined) pauseProcess(this.#child);
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  /** What it wrote about itself so far. */
  log(): string {
    const file = join(this.#directory, "nats.log");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  async #answers(): Promise<boolean> {
    const { config = [] } = this.#options;
    // Nobody here knows a password. Tests of those ask for no cluster that answers at once.
    if (config.some((line) => line.startsWith("authorization"))) return true;
    const connection = await connect({ servers: this.url, reconnect: false });
    try {
      await connection.request("$JS.API.INFO", "", { timeout: 500 });
      return true;
    } catch {
      return false;
    } finally {
      await connection.close();
    }
  }

  #configuration(): string {
    const {
      jetStream = true,
      storeBytes,
      maxPayload,
      syncAlways = false,
      advertise = true,
      config = [],
    } = this.#options;
    const lines = [
      `server_name: ${this.name}`,
      // By which a stream can be placed on it.
      `server_tags: ${this.name}`,
      `listen: "127.0.0.1:${this.#ports.client}"`,
      `http: "127.0.0.1:${this.#ports.monitor}"`,
      `log_file: ${JSON.stringify(join(this.#directory, "nats.log"))}`,
    ];
    if (maxPayload !== undefined) lines.push(`max_payload: ${maxPayload}`);
    if (jetStream) {
      lines.push("jetstream {", `  store_dir: ${JSON.stringify(this.storeDirectory)}`);
      if (storeBytes !== undefined) lines.push(`  max_file_store: ${storeBytes}`);
      if (syncAlways) lines.push("  sync_interval: always");
      lines.push("}");
    }
    if (this.#routes.length > 0) {
      const routes = this.#routes.map((port) => `"nats-route://127.0.0.1:${port}"`).join(", ");
      const cluster = [`name: test`, `listen: "127.0.0.1:${this.#ports.route}"`, `routes: [${routes}]`];
      if (!advertise) cluster.push("no_advertise: true");
      lines.push(`cluster { ${cluster.join(", ")} }`);
    }
    return [...lines, ...config, ""].join("\n");
  }
}

/** A server that ended although nobody asked it to. */
export class NatsEnded extends Error {
  constructor(name: string, log: string) {
    super(`${name} ended by itself:\n${log}`);
  }
}

/** Ports that were free may be another's by the time that a server listens. */
const tries = 5;

/** Starts servers that know each other, more than one as a cluster, and waits until all are ready. */
export async function startNatsProcesses(
  count: number,
  directory: string,
  options: NatsOptions,
): Promise<readonly NatsProcess[]> {
  for (let left = tries - 1; ; left--) {
    const ports: Ports[] = [];
    for (let number = 0; number < count; number++) {
      ports.push({ client: await stablePort(), monitor: await stablePort(), route: await stablePort() });
    }
    const routes = count === 1 ? [] : ports.map(({ route }) => route);
    const servers = ports.map((own, number) => {
      const name = `n${number + 1}`;
      return new NatsProcess(name, join(directory, `try${tries - left}`, name), own, options, routes);
    });
    for (const server of servers) server.launch();
    try {
      await Promise.all(servers.map((server) => server.ready()));
      return servers;
    } catch (error) {
      await Promise.all(servers.map((server) => server.kill()));
      if (left === 0 || !(error instanceof NatsEnded) || !error.message.includes("address already in use")) throw error;
    }
  }
}

let found: string | undefined;

/** Where the nats-server is, built first if it must be. */
function natsServerPath(): string {
  const script = join(import.meta.dirname, "../../scripts/nats-server.sh");
  found ??= execFileSync("bash", [script], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  return found;
}
