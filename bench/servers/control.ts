import { openSync, readSync } from "node:fs";
import { createInterface } from "node:readline";
import { requiredArgument } from "../harness/arguments.ts";
import { clockNs, payloadBytes, payloadText, stampNow, stampOf } from "./payload.ts";

/** One event to publish. `worker` is a number below the count of workers that the plan names. */
export interface BenchEvent {
  readonly worker: number;
  readonly sequence: number;
  readonly stamp: string;
}

/** What a server of the benchmark gives. Everything else (pacing, commands) is the same for all of them. */
export interface BenchServer {
  readonly port: number;
  /** Publishes a batch. A promise settles when the batch is committed; pacing does not wait for it. */
  publish(events: readonly BenchEvent[]): Promise<unknown> | undefined;
  /** Answers a command of its own with an object to print. */
  command?(words: readonly string[]): Promise<object>;
}

export function textOf(event: BenchEvent): string {
  return payloadText(event.sequence, event.stamp);
}

export function bytesOf(event: BenchEvent): Buffer {
  return payloadBytes(event.sequence, event.stamp);
}

type Plan = { readonly stop: () => void };

/** Runs a server under the commands of the orchestrator, until stdin ends. */
export function control(server: BenchServer): void {
  const progress = openSync(requiredArgument("--progress"), "r");
  const slowestBytes = new Uint8Array(8);
  const slowestView = new DataView(slowestBytes.buffer);
  // Sequences count per worker: a watcher of one worker checks that worker's for loss.
  const sequences: number[] = [];
  let total = 0;
  /** Batches that were published: each goes to the log by itself, since it has a turn of the event loop to itself. */
  let batches = 0;
  let plan: Plan | undefined;

  function slowest(): number {
    readSync(progress, slowestBytes, 0, 8, 0);
    return Number(slowestView.getBigUint64(0, true));
  }

  function publish(count: number, workers: number, stamp: (index: number) => string): void {
    batches++;
    const batch: BenchEvent[] = [];
    for (let index = 0; index < count; index++) {
      const worker = total % workers;
      const sequence = (sequences[worker] ?? 0) + 1;
      sequences[worker] = sequence;
      total++;
      batch.push({ worker, sequence, stamp: stamp(index) });
    }
    const committed = server.publish(batch);
    if (committed !== undefined) committed.catch(fail);
  }

  // As much as the slowest watcher allows, at most one batch in a turn of the loop.
  function closed(batch: number, ahead: number, workers: number): Plan {
    let stopped = false;
    const turn = (): void => {
      if (stopped) return;
      if (total - slowest() * workers >= ahead) {
        // What is under way lasts for much longer than this; looking all the time would be counted as the server's work.
        setTimeout(turn, 1);
        return;
      }
      const now = stampNow();
      publish(batch, workers, () => now);
      setImmediate(turn);
    };
    setImmediate(turn);
    return { stop: () => (stopped = true) };
  }

  // By the clock: each event carries the instant it was due, so that a server that is late can't hide it.
  function open(rate: number, workers: number): Plan {
    const started = clockNs();
    let sent = 0;
    const timer = setInterval(() => {
      const due = Math.floor(((clockNs() - started) * rate) / 1e9) - sent;
      if (due <= 0) return;
      const first = sent + 1;
      sent += due;
      publish(due, workers, (index) => stampOf(started + ((first + index) * 1e9) / rate));
    }, 1);
    return { stop: () => clearInterval(timer) };
  }

  // So many events at once, one by default, to a server that has nothing else to do.
  function bursts(intervalMs: number, count: number): Plan {
    const timer = setInterval(() => publish(count, 1, stampNow), intervalMs);
    return { stop: () => clearInterval(timer) };
  }

  async function fill(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 500) {
      publish(Math.min(500, left), 1, stampNow);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async function execute(line: string): Promise<object | undefined> {
    const words = line.trim().split(" ");
    const [first, second, ...rest] = words;
    const numbers = rest.map(Number);
    if (first === "publish") {
      plan?.stop();
      if (second === "closed") plan = closed(numbers[0] ?? 64, numbers[1] ?? 1024, numbers[2] ?? 1);
      else if (second === "open") plan = open(numbers[0] ?? 1000, numbers[1] ?? 1);
      else plan = bursts(numbers[0] ?? 2, numbers[1] ?? 1);
      return undefined;
    }
    if (first === "stop") {
      plan?.stop();
      return undefined;
    }
    if (first === "fill") {
      await fill(Number(second));
      const more = await server.command?.(words);
      return { ...more, filled: Number(second) };
    }
    if (first === "published") return { events: total, batches };
    if (first === "gc") {
      globalThis.gc?.();
      return { collected: true };
    }
    if (first === "workers" && server.command === undefined) return { workers: Number(second) };
    if (server.command === undefined) throw new Error(`no such command: ${line}`);
    return server.command(words);
  }

  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    execute(line).then((answer) => {
      if (answer !== undefined) console.log(JSON.stringify(answer));
    }, fail);
  });
  lines.on("close", () => process.exit(0));
  console.log(JSON.stringify({ ready: true, port: server.port }));
}

function fail(error: unknown): never {
  console.error(error);
  process.exit(1);
}
