import { onTestFinished, vi } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { limits } from "../../../src/base/limits.ts";
import type { JobMemoryOptions } from "../../../src/runtime/jobs/memory.ts";
import type { JobContext, OperationOptions, SubmitOptions } from "../../../src/runtime/jobs/operation.ts";
import { Runtime, type RuntimeOptions } from "../../../src/runtime/runtime.ts";
import type { SharedLog } from "../../support/shared-log.ts";
import { SharedStream } from "../../support/shared-stream.ts";
import { controlledHandler, settled } from "./support.ts";

/** Milliseconds between two looks at writes that are on their way. */
const lookMs = 250;

/** From now on the time by which processes look after their writes stands still, but for `passLooks`. Until the test is over. */
export function processTimeStandsStill(): void {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
}

/** One server: its clock stands still with it when it is paused or gone. */
export class ServerInMemory {
  readonly clock: ManualClock;
  readonly log: SharedLog;
  readonly runtime: Runtime;
  /** Calls of the handlers of its operations, two of which run at once. */
  readonly calls: readonly { job: JobContext; finish(): void; fail(error: unknown): void }[];
  isRunning = true;

  constructor(
    log: SharedLog,
    operations: readonly string[],
    options: OperationOptions,
    runtime: Pick<RuntimeOptions, "onError" | "jobs">,
    nowMs: number,
  ) {
    this.clock = new ManualClock(nowMs);
    this.log = log;
    this.runtime = new Runtime({ log, clock: this.clock, ...runtime });
    const { calls, handler } = controlledHandler();
    this.calls = calls;
    for (const name of operations) this.runtime.operation(name, options, handler);
  }

  crash(): void {
    this.isRunning = false;
    this.log.crash();
  }

  pause(): void {
    this.isRunning = false;
    this.log.pause();
  }

  resume(): void {
    this.isRunning = true;
    this.log.resume();
  }
}

/** Servers that share a stream in memory. Nothing moves unless the test says so. */
export class ServersInMemory {
  readonly stream = new SharedStream();
  readonly clock = this.stream.clock;
  readonly faults: unknown[] = [];
  /** Also those that are gone. */
  readonly servers: ServerInMemory[] = [];
  readonly #options: OperationOptions;
  readonly #jobs: JobMemoryOptions;

  constructor(options: OperationOptions = { concurrency: 2, cancelGraceMs: 1_000 }, jobs: JobMemoryOptions = {}) {
    this.#options = options;
    this.#jobs = jobs;
  }

  start(operations: readonly string[] = ["work"]): ServerInMemory {
    const options = { onError: (error: unknown) => this.faults.push(error), jobs: this.#jobs };
    const server = new ServerInMemory(this.stream.open(), operations, this.#options, options, this.clock.now());
    this.servers.push(server);
    return server;
  }

  /** Lets everything go round that is on its way. */
  async turn(rounds = 20): Promise<void> {
    for (let i = 0; i < rounds; i++) {
      this.stream.deliver();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Moves the time of all servers that run, beat by beat. */
  async advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= limits.serverPresenceMs) {
      const step = Math.min(left, limits.serverPresenceMs);
      this.clock.advance(step);
      await this.passLooks(step);
      for (const { isRunning, clock } of this.servers) if (isRunning) clock.advance(step);
      await this.turn(6);
    }
  }

  /**
   * Moves the time of the process, if that is not the real one: what looks after writes on their way goes by it. What one look
   * finds is told before anything else happens, as it is between two turns of the event loop.
   */
  async passLooks(ms: number): Promise<void> {
    if (!vi.isFakeTimers()) return;
    for (let left = ms; left > 0; left -= lookMs) {
      vi.advanceTimersByTime(Math.min(left, lookMs));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Moves time until whoever is silent is lost, and its jobs are taken over. */
  async lose(): Promise<void> {
    await this.advance((limits.serverLostBeats + 2) * limits.serverPresenceMs);
    await this.turn();
  }

  /** What was asked of a server, which hears of others no sooner than it waits for them. */
  async lookedUp<T>(asked: Promise<T>): Promise<T> {
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    asked.then(over, over);
    while (!isOver) {
      for (const { log } of this.servers) if (log.isReaching) log.deliver();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return asked;
  }

  /** Submits a job that no other server hears of before it looks. */
  async submitUnheard({ runtime, log }: ServerInMemory, options: SubmitOptions): Promise<string> {
    const submitted = runtime.submit("work", {}, options);
    await settled();
    log.deliver();
    return (await submitted).jobId;
  }

  async submit({ runtime }: ServerInMemory, operation: string, options: SubmitOptions = {}): Promise<string> {
    const submitted = runtime.submit(operation, {}, options);
    await this.turn();
    return (await submitted).jobId;
  }
}
