import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { BenchError } from "./bench-error.ts";
import { track } from "./children.ts";

/** Core of the servers, and core of the load client: a contender has one core to itself. */
export const serverCore = 0;
export const loadCore = 1;

/** Time in which a server must be ready, in milliseconds. */
const readyLimitMs = 15_000;
/** Time in which a server must answer a command, in milliseconds. Filling a log of a million events takes a while. */
const answerLimitMs = 60_000;

/** A process on the server's core, if no other is named, that takes commands as lines and answers with lines of JSON. */
export class ServerProcess {
  readonly pid: number;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: object[] = [];
  #wake: (() => void) | undefined;
  #errors = "";
  #ended = false;

  constructor(
    command: string,
    commandArguments: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    core = serverCore,
  ) {
    this.#child = spawn("taskset", ["-c", String(core), command, ...commandArguments], {
      env: { ...process.env, ...environment },
    });
    if (this.#child.pid === undefined) throw new BenchError("taskset is missing: install util-linux");
    // taskset replaces itself by the command, so this is the server's own id.
    this.pid = this.#child.pid;
    track(this.#child);
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      if (!line.startsWith("{")) return;
      this.#answers.push(JSON.parse(line) as object);
      this.#wake?.();
    });
    this.#child.stderr.on("data", (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString()).slice(-4000);
    });
    this.#child.stdin.on("error", () => this.#wake?.());
    this.#child.on("exit", () => {
      this.#ended = true;
      this.#wake?.();
    });
  }

  /** What the process wrote to stderr, at most the last 4,000 characters. */
  get errors(): string {
    return this.#errors;
  }

  get ended(): boolean {
    return this.#ended;
  }

  send(line: string): void {
    if (!this.#ended) this.#child.stdin.write(`${line}\n`);
  }

  async next<T extends object>(limitMs: number): Promise<T> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const answer = this.#answers.shift();
      if (answer !== undefined) return answer as T;
      const left = deadline - Date.now();
      if (this.#ended) throw new BenchError(`the server ended: ${this.#errors.trim().slice(-1500)}`);
      if (left <= 0) throw new BenchError(`no answer from the server in ${limitMs} ms`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer);
    }
  }

  async ready(): Promise<{ readonly port: number }> {
    return this.next<{ port: number }>(readyLimitMs);
  }

  async ask<T extends object>(line: string): Promise<T> {
    this.send(line);
    return this.next<T>(answerLimitMs);
  }

  /** Ends the process: politely where it must write something down first, else at once. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#ended) return;
    const exited = once(this.#child, "exit");
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    await exited;
    clearTimeout(timer);
  }
}

/** A port that was free a moment ago, for servers that can't choose one themselves. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new BenchError("no free port");
  return address.port;
}
