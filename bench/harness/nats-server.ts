import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BenchError } from "./bench-error.ts";
import { exchange } from "./exchange.ts";
import { freePort, ServerProcess } from "./server-process.ts";

type Found = { readonly path: string; readonly missing?: never } | { readonly path?: never; readonly missing: string };

let found: Found | undefined;

/** The nats-server that the log in JetStream needs, 2.12 or later, which is newer than what distributions carry. */
export function findNatsServer(): Found {
  found ??= look();
  return found;
}

function look(): Found {
  const script = join(import.meta.dirname, "../../scripts/nats-server.sh");
  const { status, stdout, stderr } = spawnSync("bash", [script], { encoding: "utf8" });
  if (status === 0) return { path: stdout.trim() };
  return { missing: stderr.trim().split("\n").at(-1) ?? "scripts/nats-server.sh failed" };
}

/** A nats-server with JetStream and file storage, which is stopped and started again with its port and its files. */
export class NatsServer {
  readonly port: number;
  readonly #directory: string;
  readonly #store: string;
  #process: ServerProcess | undefined;

  private constructor(port: number, directory: string, store: string) {
    this.port = port;
    this.#directory = directory;
    this.#store = store;
  }

  /** @param directory for the configuration. @param store for the streams. */
  static async start(directory: string, store: string): Promise<NatsServer> {
    const server = new NatsServer(await freePort(), directory, store);
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    if (this.#process === undefined) throw new Error("the server does not run");
    return this.#process.pid;
  }

  async start(): Promise<void> {
    const { path, missing } = findNatsServer();
    if (missing !== undefined) throw new BenchError(missing);
    const file = join(this.#directory, "nats.conf");
    // The slow consumer limit is raised: the closed loop bounds what is under way. Writes are synced every two minutes, the default.
    writeFileSync(
      file,
      `listen: "127.0.0.1:${this.port}"\nmax_connections: 20000\nmax_pending: 512MB\nwrite_deadline: "10s"\njetstream { store_dir: "${this.#store}", max_mem: 4GB, max_file: 8GB }\n`,
    );
    this.#process = new ServerProcess(path, ["-c", file], { GOMAXPROCS: "1" });
    await exchange(this.port, "PING\r\n", (answer) => answer.includes("PONG"));
  }

  /** Bytes that a stream takes on the disk. */
  async streamBytes(name: string): Promise<number> {
    const { state } = (await this.ask(`STREAM.INFO.${name}`, {})) as { state: { bytes: number } };
    return state.bytes;
  }

  /** Asks JetStream for something. `subject` follows `$JS.API.`. */
  async ask(subject: string, question: object): Promise<Record<string, unknown>> {
    const text = JSON.stringify(question);
    const answer = await exchange(
      this.port,
      `CONNECT {"verbose":false}\r\nSUB answer 1\r\nPUB $JS.API.${subject} answer ${text.length}\r\n${text}\r\n`,
      (received) => received.includes("MSG answer") && received.trimEnd().endsWith("}"),
    );
    const json = answer.slice(answer.indexOf("{", answer.indexOf("MSG answer")));
    const parsed = JSON.parse(json.trim()) as Record<string, unknown>;
    if (parsed["error"] !== undefined) throw new BenchError(`JetStream refused ${subject}: ${json}`);
    return parsed;
  }

  async stop(): Promise<void> {
    await this.#process?.stop("SIGTERM");
    this.#process = undefined;
  }
}
