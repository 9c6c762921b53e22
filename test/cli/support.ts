import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { onTestFinished } from "vitest";
import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import { ListEventsRequestSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { OutputStream, type WorkerEnded } from "../../gen/tailrace/v1/payloads_pb.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { killGroup } from "../support/processes.ts";
import { patienceMs } from "../support/until.ts";

const checkout = join(import.meta.dirname, "../..");
export const entry = join(checkout, "src/cli/main.ts");

export interface StartOptions {
  readonly input?: string | Buffer;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
}

/** A process of the command line, or of a shell that uses it. Killed when the test ends. */
export class Started {
  readonly child: ChildProcess;
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  #closed = false;
  /** Settles with the exit code, or the name of the signal that ended it, when all output is there too. */
  readonly ended: Promise<number | string>;

  constructor(file: string, args: readonly string[], options: StartOptions = {}) {
    const env = withoutOurs(process.env);
    this.child = spawn(file, [...args], {
      cwd: options.cwd ?? checkout,
      env: { ...env, TZ: "UTC", ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
      // Of its own group, so that nothing of a shell script outlives the test.
      detached: true,
    });
    this.child.stdout?.on("data", (data: Buffer) => this.#stdout.push(data));
    this.child.stderr?.on("data", (data: Buffer) => this.#stderr.push(data));
    this.child.stdin?.on("error", () => undefined);
    if (options.input !== undefined) this.child.stdin?.end(options.input);
    this.child.once("close", () => {
      this.#closed = true;
    });
    this.ended = once(this.child, "close").then(([code, signal]) => (code ?? signal) as number | string);
    onTestFinished(async () => {
      if (this.child.pid !== undefined) killGroup(this.child.pid);
      await this.ended;
    });
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#stdout);
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  /** Waits until stdout or stderr matches. Fails with what is there if the process ends before. */
  async until(stream: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> {
    for (const deadline = performance.now() + patienceMs; ; ) {
      // Both asked before the look. And not its exit: what it wrote last may still be in its pipes then.
      const closed = this.#closed;
      const isLate = performance.now() > deadline;
      const text = stream === "stdout" ? this.stdout.toString() : this.stderr;
      const match = pattern.exec(text);
      if (match !== null) return match;
      if (closed || isLate) {
        const what = closed ? "it ended" : "it goes on";
        throw new Error(`${what} without ${pattern}; stdout:\n${this.stdout}\nstderr:\n${this.stderr}`);
      }
      await delay(10);
    }
  }
}

/** The environment without what would change how the command line behaves. */
function withoutOurs(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(TAILRACE_|NO_COLOR$)/.test(name)));
}

/** Starts `tailrace ARGS`. */
export function tailrace(args: readonly string[], options: StartOptions = {}): Started {
  return new Started(process.execPath, [entry, ...args], options);
}

/** Starts a shell script in which `tailrace` is the command line. */
export function shell(script: string, options: StartOptions = {}): Started {
  const command = `tailrace() { '${process.execPath}' '${entry}' "$@"; }`;
  return new Started("bash", ["-c", `${command}\n${script}`], options);
}

export interface ServeProcess {
  readonly process: Started;
  readonly url: string;
}

/** Starts `tailrace serve` and waits until it is ready. */
export async function startServe(args: readonly string[], options: StartOptions = {}): Promise<ServeProcess> {
  const process = tailrace(["serve", ...args], options);
  const [, url] = await process.until("stdout", /^tailrace ready (http:\/\/\S+)\n/m);
  return { process, url: url as string };
}

/** All events that a runtime holds of a worker. */
export async function eventsOf(runtime: Runtime, workerId: string): Promise<Event[]> {
  const events: Event[] = [];
  let cursor = "";
  for (;;) {
    const start = cursor === "" ? {} : { start: { case: "cursor", value: cursor } as const };
    const page = await runtime.listEvents(create(ListEventsRequestSchema, { workerIds: [workerId], ...start }));
    events.push(...page.events);
    if (page.complete) return events;
    cursor = page.cursor;
  }
}

/** The bytes of one stream, put together by their offsets. Throws if they leave a hole or overlap. */
export function outputBytes(events: readonly Event[], stream: "stdout" | "stderr"): Buffer {
  const wanted = stream === "stdout" ? OutputStream.STDOUT : OutputStream.STDERR;
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const { payload } of events) {
    if (payload.case !== "output" || payload.value.stream !== wanted) continue;
    if (Number(payload.value.offset) !== offset) throw new Error(`offset ${payload.value.offset}, expected ${offset}`);
    chunks.push(payload.value.data);
    offset += payload.value.data.length;
  }
  return Buffer.concat(chunks);
}

/** The end that is the last event of a worker. */
export function endOf(events: readonly Event[]): WorkerEnded {
  const payload = events.at(-1)?.payload;
  if (payload?.case !== "workerEnded") throw new Error(`the last event is ${payload?.case}`);
  return payload.value;
}

/** Waits until something holds. The test's own timeout bounds it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(10);
}
