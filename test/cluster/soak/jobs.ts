import { setTimeout as delay } from "node:timers/promises";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { createJobs, hasReason, type Jobs, TailraceError } from "../../../src/client/index.ts";
import { until } from "../../support/until.ts";
import type { Verifier } from "../support/verifier.ts";

/** What the servers' configuration file declares for it. */
export const operations = {
  work: {
    command: ["sh", "-c", 'echo begin; sleep "$1"; echo end', "sh", "{seconds}"],
    params: { seconds: { type: "number", minimum: 0, maximum: 60 } },
    cancelGrace: "1s",
  },
};

/** Milliseconds between two tries of a command that failed. */
const againMs = 200;

/** Milliseconds after the last fault in which all jobs must have ended. They take seconds, and lost ones are missed after some. */
const endMs = 90_000;

/** How a job may end that nobody cancelled, when servers come and go. */
const lossReasons: ReadonlySet<string> = new Set(["runtime_lost", "runtime_closed", "runtime_restarted"]);

/** Submits jobs, cancels some, each through any server, again until it is answered, and follows what becomes of them. */
export class JobLoad {
  readonly problems: string[] = [];
  readonly #clients: readonly Jobs[];
  readonly #random: () => number;
  /** Jobs that were accepted, and whether somebody asked for their end. */
  readonly #jobs = new Map<string, { cancelled: boolean }>();
  readonly #pending = new Set<Promise<void>>();
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(urls: readonly string[], random: () => number, paceMs: number) {
    this.#clients = urls.map((baseUrl) => createJobs({ baseUrl }));
    this.#random = random;
    this.#running = this.#run(paceMs);
  }

  get submitted(): number {
    return this.#jobs.size;
  }

  /** Settles when every command was answered. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  /**
   * Waits until every job has ended for a reader, and says what is wrong with the ends. Servers remember `remembered` jobs.
   * Call `stop` before.
   */
  async verdict(readers: readonly Verifier[], remembered: number): Promise<readonly string[]> {
    const problems = [...this.problems];
    const open = ({ jobEnds }: Verifier): string[] => [...this.#jobs.keys()].filter((id) => !jobEnds.has(id));
    const allEnded = (): boolean => readers.every((reader) => open(reader).length === 0);
    await until(allEnded, "every job to end", endMs).catch((error: Error) => {
      for (const reader of readers) problems.push(`${error.message}: ${reader.name} misses ${open(reader).join(" ")}`);
    });
    for (const reader of readers) {
      for (const [jobId, { state, reason }] of reader.jobEnds) {
        const job = this.#jobs.get(jobId);
        if (job === undefined) problems.push(`${reader.name}: job ${jobId} was made twice, or by nobody`);
        else if (!isRight(state, reason, job.cancelled)) {
          problems.push(`${reader.name}: job ${jobId} ended as ${nameOf(state)} ${reason}`);
        }
      }
    }
    problems.push(...(await this.#compare(readers[0] as Verifier, remembered)));
    for (const client of this.#clients) client.close();
    return problems;
  }

  /** How jobs ended, and how often. */
  static tally({ jobEnds }: Verifier): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { state, reason } of jobEnds.values()) {
      const name = `${nameOf(state)} ${reason}`.trim();
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  async #run(paceMs: number): Promise<void> {
    for (let number = 1; !this.#stopped; number++) {
      const task = this.#job(number).catch((error: Error) => {
        this.problems.push(`job ${number}: ${error.message}`);
      });
      this.#pending.add(task);
      void task.then(() => this.#pending.delete(task));
      await delay(paceMs);
    }
  }

  /** Life of a job, as its owner sees it. */
  async #job(number: number): Promise<void> {
    const seconds = Math.round(this.#random() * 80) / 10;
    const cancelAfterMs = this.#random() < 0.3 ? this.#random() * 1_000 * seconds : undefined;
    const { jobId } = await this.#answered((jobs) =>
      jobs.submit("work", { seconds }, { idempotencyKey: `job ${number}` }),
    );
    const job = { cancelled: false };
    if (this.#jobs.has(jobId)) throw new Error(`two keys have the job ${jobId}`);
    this.#jobs.set(jobId, job);
    if (cancelAfterMs === undefined) return;
    await delay(cancelAfterMs);
    job.cancelled = true;
    await this.#answered((jobs) => jobs.cancel(jobId));
  }

  /** The answer of any server, asked again, and another one, while there is none. */
  async #answered<T>(call: (jobs: Jobs) => Promise<T>): Promise<T> {
    for (;;) {
      const client = this.#clients[Math.floor(this.#random() * this.#clients.length)] as Jobs;
      try {
        return await call(client);
      } catch (error) {
        if (!isPassing(error)) throw error;
        await delay(againMs);
      }
    }
  }

  /** Whether every server says of every job that it must remember what a reader saw, once it is as far as that reader. */
  async #compare(reader: Verifier, remembered: number): Promise<string[]> {
    const problems: string[] = [];
    // Room for one more is made before it is known whether it is needed, by every server for itself.
    const newest = new Set([...reader.jobEnds.keys()].slice(-remembered / 2));
    for (const [index, client] of this.#clients.entries()) {
      const differing = async (): Promise<string[]> => {
        const states = new Map<string, JobState>();
        for await (const { jobId, state } of client.list()) states.set(jobId, state);
        return [...reader.jobEnds]
          .filter(([jobId, { state }]) => states.get(jobId) !== state && (states.has(jobId) || newest.has(jobId)))
          .map(([jobId, { state }]) => `job ${jobId} is ${states.get(jobId)}, and ended as ${state}`);
      };
      const agrees = async (): Promise<boolean> => (await differing()).length === 0;
      await until(agrees, `server ${index + 1} to know how every job ended`, endMs).catch(async (error: Error) => {
        problems.push(`${error.message}: ${(await differing()).join(", ")}`);
      });
    }
    return problems;
  }
}

function nameOf(state: JobState): string {
  return Object.entries(JobState).find(([, value]) => value === state)?.[0] ?? String(state);
}

function isRight(state: JobState, reason: string, cancelled: boolean): boolean {
  if (state === JobState.SUCCEEDED) return true;
  if (state === JobState.CANCELLED) return cancelled || lossReasons.has(reason);
  return state === JobState.FAILED && lossReasons.has(reason);
}

/** Whether another try may be answered. */
export function isPassing(error: unknown): boolean {
  if (hasReason(error, "connection_failed")) return error.details.code !== "unimplemented";
  if (!(error instanceof TailraceError)) return false;
  return error.reason === "log_unavailable" || error.reason === "server_closing";
}
