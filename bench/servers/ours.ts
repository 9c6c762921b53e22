// This library in one process: a log, a runtime, its server, and a publisher inside.
import { setTimeout as sleep } from "node:timers/promises";
import { OutputStream } from "../../gen/tailrace/v1/payloads_pb.ts";
import type { EventLog, RetentionLimits } from "../../src/index.ts";
import { MemoryLog, Runtime } from "../../src/index.ts";
import { openEmbeddedLog } from "../../src/log/embedded/index.ts";
import { openJetStreamLog } from "../../src/log/jetstream/index.ts";
import { createServer } from "../../src/server/index.ts";
import { optionalArgument } from "../harness/arguments.ts";
import { measureAppend, measureCommit } from "./append-in-process.ts";
import type { BenchEvent } from "./control.ts";
import { bytesOf, control } from "./control.ts";
import { stampNow } from "./payload.ts";

/** Bytes of one event of the benchmark in a log, with what retention counts besides them. */
const bytesPerEvent = 1024;

function retention(): Partial<RetentionLimits> {
  const retained = optionalArgument("--retain");
  if (retained === undefined) return {};
  const events = Number(retained);
  return { workerEvents: events, workerBytes: events * bytesPerEvent, events, bytes: events * bytesPerEvent };
}

const directory = optionalArgument("--data");
const nats = optionalArgument("--nats");

async function openLog(): Promise<EventLog> {
  if (nats !== undefined) {
    return openJetStreamLog({ servers: [nats], namespace: "bench", retention: retention() });
  }
  if (directory === undefined) return new MemoryLog({ retention: retention() });
  const durability = optionalArgument("--durability") === "process" ? "process" : "fsync";
  return openEmbeddedLog({ directory, durability, retention: retention() });
}

const runtime = new Runtime({ log: await openLog() });
const server = await createServer({ runtime, listen: "127.0.0.1:0" });
const offsets = new Map<number, number>();

function toNewEvent(event: BenchEvent) {
  const data = bytesOf(event);
  const offset = offsets.get(event.worker) ?? 0;
  offsets.set(event.worker, offset + data.length);
  return {
    workerId: `bench-${event.worker}`,
    payload: { case: "output" as const, value: { stream: OutputStream.STDOUT, data, offset: BigInt(offset) } },
  };
}

let last: Promise<unknown> = Promise.resolve();

/** Appends under way at once while a log is filled with one event in each. */
const singlesUnderWay = 200;

// An append in every turn of the loop, so that a log which gathers those of one turn has each event by itself.
async function fillSingles(count: number): Promise<void> {
  let underWay = 0;
  for (let sequence = 1; sequence <= count; sequence++) {
    underWay++;
    last = runtime.publish([toNewEvent({ worker: 0, sequence, stamp: stampNow() })]).finally(() => underWay--);
    do await new Promise((resolve) => setImmediate(resolve));
    while (underWay >= singlesUnderWay);
  }
  await last;
}

control({
  port: server.address.port,
  publish(events) {
    last = runtime.publish(events.map(toNewEvent));
    return last;
  },
  async command([name, ...numbers]) {
    if (name === "fill") {
      await last;
      return {};
    }
    if (name === "fill-singles") {
      await fillSingles(Number(numbers[0]));
      return {};
    }
    if (name === "memory") {
      // Twice: what a finalizer lets go of is garbage only then.
      for (let pass = 0; pass < 2; pass++) {
        globalThis.gc?.();
        await sleep(200);
      }
      const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
      return { rss, held: heapUsed + arrayBuffers };
    }
    if (name === "close") {
      await server.close();
      await runtime.close();
      return {};
    }
    if (name === "workers") {
      for (let worker = 0; worker < Number(numbers[0]); worker++) {
        await runtime.worker(`bench-${worker}`).custom("bench", "hello");
      }
      return {};
    }
    if (name === "append") {
      const [seconds = 1, batch = 1, concurrency = 1, ...others] = numbers.map(Number);
      const commit = directory === undefined ? {} : { commit_p50_ms: await measureCommit(directory) };
      const figures = await measureAppend((events) => runtime.publish(events), { seconds, batch, concurrency, others });
      return { ...figures, ...commit };
    }
    await sleep(0);
    throw new Error(`no such command: ${name}`);
  },
});
