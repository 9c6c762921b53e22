import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Direction, openTcpProxy, type TcpProxy } from "../../support/open-tcp-proxy.ts";
import { pauseProcess, residentBytesIfAny } from "../../support/processes.ts";
import { until } from "../../support/until.ts";

const checkout = join(import.meta.dirname, "../../..");
const entry = join(checkout, "src/cli/main.ts");

/** Milliseconds after which a server that ended is started again, as a supervisor does it. */
const restartMs = 500;

export interface ServerOptions {
  readonly name: string;
  /** Ports of all servers of NATS. */
  readonly natsPorts: readonly number[];
  readonly namespace: string;
  readonly replicas: number;
  /** Further options of `tailrace serve`. */
  readonly args: readonly string[];
  /** Options of Node. Given, the process has a channel to its parent. */
  readonly nodeArgs?: readonly string[];
}

/**
 * A `tailrace serve` of its own process under a supervisor, behind proxies on both sides: one in front, whose address stays the
 * same over every life of the process, and one to each server of NATS.
 */
export class Server {
  readonly name: string;
  /** Processes that ended although nobody asked them to, with what they said last. */
  readonly endedByItself: string[] = [];
  /** Lives of the process so far. */
  lives = 0;
  readonly #options: ServerOptions;
  readonly #front: TcpProxy;
  readonly #links: readonly TcpProxy[];
  #child: ChildProcess | undefined;
  #wanted = false;
  #supervision: Promise<void> = Promise.resolve();
  #ready = false;

  private constructor(options: ServerOptions, front: TcpProxy, links: readonly TcpProxy[]) {
    this.name = options.name;
    this.#options = options;
    this.#front = front;
    this.#links = links;
  }

  /** Makes one that does not run yet. */
  static async open(options: ServerOptions): Promise<Server> {
    const front = await openTcpProxy(1);
    front.refuse();
    return new Server(options, front, await Promise.all(options.natsPorts.map((port) => openTcpProxy(port))));
  }

  /** Its address, through the proxy in front. */
  get url(): string {
    return this.#front.url;
  }

  /** Undefined: it does not run now. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The process; undefined: it does not run now. */
  get process(): ChildProcess | undefined {
    return this.#child;
  }

  /** Bytes of memory; undefined: it does not run now. */
  get memory(): number | undefined {
    return this.pid === undefined ? undefined : residentBytesIfAny(this.pid);
  }

  /** Runs it until `stop` or `kill`, again and again if it ends by itself, and settles when it serves. */
  async start(): Promise<void> {
    if (this.#wanted) throw new Error(`${this.name} runs already`);
    this.#wanted = true;
    this.#supervision = this.#supervise();
    await this.ready();
  }

  /** Waits until it serves. */
  async ready(): Promise<void> {
    await until(() => this.#ready, `${this.name} to serve: ${this.endedByItself.at(-1) ?? ""}`);
  }

  /** What `/readyz` answers; undefined: nothing does. */
  async readiness(): Promise<{ readonly status: number; readonly body: string } | undefined> {
    try {
      const answer = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(5_000) });
      return { status: answer.status, body: await answer.text() };
    } catch {
      return undefined;
    }
  }

  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends it in order. Gives the exit code, or the name of a signal. */
  async stop(): Promise<number | string | null> {
    return this.#end("SIGTERM");
  }

  pause(): void {
    if (this.#child !== undefined) pauseProcess(this.#child);
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  /** Nothing passes between it and NATS any more, in one direction or both, though every connection stays open. */
  loseNats(direction?: Direction): void {
    for (const link of this.#links) link.blackhole(direction);
  }

  /** Whatever it says to NATS is refused at once. */
  refuseNats(): void {
    for (const link of this.#links) {
      link.refuse();
      link.cut();
    }
  }

  healNats(): void {
    for (const link of this.#links) link.heal();
  }

  /** Bytes that its clients were sent so far. */
  get bytesToClients(): number {
    return this.#front.bytesToClient;
  }

  /** Resets the connections of its clients once they were sent this many more bytes, wherever in a frame that is. */
  cutClientsAfter(bytes: number): void {
    this.#front.cutAfter(bytes);
  }

  /** Ends the process and its proxies. */
  async close(): Promise<void> {
    await this.kill();
    await Promise.all([this.#front.close(), ...this.#links.map((link) => link.close())]);
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<number | string | null> {
    this.#wanted = false;
    const child = this.#child;
    child?.kill(signal);
    await this.#supervision;
    return child === undefined ? null : (child.exitCode ?? child.signalCode);
  }

  async #supervise(): Promise<void> {
    while (this.#wanted) {
      const said = await this.#live();
      if (!this.#wanted) return;
      this.endedByItself.push(said);
      await delay(restartMs);
    }
  }

  /** One life of the process, from its start to its end. Gives what it said on stderr. */
  async #live(): Promise<string> {
    const { natsPorts, namespace, replicas, args, nodeArgs } = this.#options;
    const nats = natsPorts.map((_, index) => `127.0.0.1:${this.#links[index]?.port}`).join(",");
    const log = ["--log", `nats://${nats}`, "--namespace", namespace, "--replicas", String(replicas)];
    const command = [process.execPath, ...(nodeArgs ?? []), entry, "serve", "--listen", "127.0.0.1:0", ...log, ...args];
    // Ends with us however we end, also if we are killed.
    const setpriv = "/usr/bin/setpriv";
    if (existsSync(setpriv)) command.unshift(setpriv, "--pdeathsig", "KILL");
    const [program, ...rest] = command as [string, ...string[]];
    const channel = nodeArgs === undefined ? [] : (["ipc"] as const);
    const child = spawn(program, rest, { cwd: checkout, stdio: ["ignore", "pipe", "pipe", ...channel] });
    this.#child = child;
    this.lives++;
    let stdout = "";
    let stderr = "";
    child.stdout?.on("data", (data: Buffer) => {
      stdout += data.toString();
      const port = /^tailrace ready http:\/\/127\.0\.0\.1:(\d+)\n/m.exec(stdout)?.[1];
      if (port === undefined || this.#ready) return;
      this.#front.target(Number(port));
      this.#front.heal();
      this.#ready = true;
    });
    child.stderr?.on("data", (data: Buffer) => {
      stderr = (stderr + data.toString()).slice(-4_096);
    });
    await new Promise((resolve) => child.once("close", resolve));
    // Else its port may be another's by the next connection.
    this.#front.refuse();
    this.#front.cut();
    this.#ready = false;
    this.#child = undefined;
    return `${child.exitCode ?? child.signalCode}: ${stderr}`;
  }
}
