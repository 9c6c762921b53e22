import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { describe, expect, it, onTestFinished } from "vitest";
import { ManualClock } from "../../src/base/clock.ts";
import type { Checkpoint } from "../../src/client/checkpoint.ts";
import { fileCheckpoint, type NodeWatchOptions, type WatchStatus, watch } from "../../src/client/index.ts";
import { decodeCursor } from "../../src/events/cursor.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { eventually, until } from "../support/until.ts";
import { numbers, ScriptedLog, startScriptedServer } from "./scripted-server.ts";

class MemoryCheckpoint implements Checkpoint {
  saves: string[] = [];
  fail: Error | undefined;
  running = 0;
  cursor: string | undefined;

  constructor(cursor?: string) {
    this.cursor = cursor;
  }

  async load(): Promise<string | undefined> {
    return this.cursor;
  }

  async save(cursor: string): Promise<void> {
    expect(this.running++).toBe(0);
    await Promise.resolve();
    this.running--;
    if (this.fail !== undefined) throw this.fail;
    this.saves.push(cursor);
    this.cursor = cursor;
  }
}

async function followed(options: Partial<NodeWatchOptions>) {
  const log = new ScriptedLog();
  log.add(40);
  const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context) });
  return { log, server, watched: watch({ baseUrl: server.url, ...options }) };
}

describe("a checkpoint", () => {
  it("is where the watch begins, before any start that was given", async () => {
    const log = new ScriptedLog();
    const { server, watched } = await followed({ last: 3, checkpoint: new MemoryCheckpoint(log.cursor(7)) });
    for await (const event of watched) {
      expect(event.sequence).toBe(8n);
      break;
    }
    expect(server.requests[0]?.start).toEqual({ case: "cursor", value: log.cursor(7) });
  });

  it("gets only what the consumer is done with, at most once per interval, and at the end", async () => {
    const clock = new ManualClock();
    const checkpoint = new MemoryCheckpoint();
    const { log, watched } = await followed({ checkpoint, checkpointIntervalMs: 100, clock });
    const at = async (count: number, ...saved: number[]) => {
      await eventually(() => expect(checkpoint.saves).toHaveLength(count));
      expect(checkpoint.saves.slice(-saved.length)).toEqual(saved.map((sequence) => log.cursor(sequence)));
    };
    for await (const event of watched) {
      // Event 5 is in hand: 4 is the last one that is done.
      if (event.sequence === 5n) {
        expect(checkpoint.saves).toEqual([]);
        clock.advance(100);
        await at(1, 4);
      }
      // In the same batch, later.
      if (event.sequence === 9n) {
        clock.advance(99);
        await Promise.resolve();
        expect(checkpoint.saves).toHaveLength(1);
        clock.advance(1);
        await at(2, 8);
      }
      if (event.sequence === 33n) break;
    }
    await at(3, 32);
    expect(clock.pending).toBe(0);
  });

  it("is saved before a terminal error reaches the consumer", async () => {
    const log = new ScriptedLog();
    log.add(3);
    const server = await startScriptedServer({
      async *watch() {
        yield log.opened(0);
        yield log.batch(0, 3);
        const value = { workerId: "w" };
        yield { case: "diagnostic", value: { severity: 2, reason: { case: "workerNotFound", value } } };
      },
    });
    const checkpoint = new MemoryCheckpoint();
    const run = async () => {
      for await (const _ of watch({ baseUrl: server.url, checkpoint }));
    };
    await expect(run()).rejects.toMatchObject({ reason: "worker_not_found" });
    expect(checkpoint.saves).toEqual([log.cursor(3)]);
  });

  it("that can't be saved is reported and tried again; at the end it is an error", async () => {
    const clock = new ManualClock();
    const checkpoint = new MemoryCheckpoint();
    checkpoint.fail = new RangeError("disk full");
    const statuses: WatchStatus[] = [];
    const onStatus = (status: WatchStatus) => statuses.push(status);
    const { watched } = await followed({ checkpoint, checkpointIntervalMs: 100, clock, onStatus });
    const run = async () => {
      for await (const event of watched) {
        if (event.sequence === 3n) {
          clock.advance(100);
          await eventually(() => expect(statuses.at(-1)?.kind).toBe("checkpoint_failed"));
        }
        if (event.sequence === 4n) break;
      }
    };
    await expect(run()).rejects.toThrow("disk full");
  });

  it("that can't be loaded ends the watch before it asks for anything", async () => {
    const checkpoint: Checkpoint = { load: () => Promise.reject(new RangeError("gone")), save: async () => undefined };
    const { server, watched } = await followed({ checkpoint });
    await expect(watched[Symbol.asyncIterator]().next()).rejects.toThrow("gone");
    expect(server.requests).toHaveLength(0);
  });
});

describe("a checkpoint file", () => {
  it("gives back what was saved, and is replaced as a whole", async () => {
    const directory = scratchDirectory();
    const path = join(directory, "position");
    const checkpoint = fileCheckpoint(path);
    const log = new ScriptedLog();
    expect(await checkpoint.load()).toBeUndefined();
    await checkpoint.save(log.cursor(1));
    await checkpoint.save(log.cursor(2));
    expect(await checkpoint.load()).toBe(log.cursor(2));
    expect(await readFile(path, "utf8")).toBe(`${log.cursor(2)}\n`);
    expect(await readdir(directory)).toEqual(["position"]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("takes a relay's longer cursor too", async () => {
    const path = join(scratchDirectory(), "position");
    const cursor = "c".repeat(4_096);
    await fileCheckpoint(path).save(cursor);
    expect(await fileCheckpoint(path).load()).toBe(cursor);
  });

  it.each([
    ["a text", "root:x:0:0:root:/root:/bin/bash\n"],
    ["a cursor with another byte", `${new ScriptedLog().cursor(5).slice(0, -1)}!\n`],
    ["a cut cursor", new ScriptedLog().cursor(5).slice(0, 30)],
    ["a long file", "x".repeat(100_000)],
  ])("with %s in it is cursor_malformed, and nothing of it is sent", async (_, text) => {
    const path = join(scratchDirectory(), "position");
    await writeFile(path, text);
    const { server, watched } = await followed({ checkpoint: fileCheckpoint(path) });
    await expect(watched[Symbol.asyncIterator]().next()).rejects.toMatchObject({ reason: "cursor_malformed" });
    expect(server.requests).toHaveLength(0);
  });

  it("that is empty counts as none", async () => {
    const path = join(scratchDirectory(), "position");
    await writeFile(path, "\n");
    expect(await fileCheckpoint(path).load()).toBeUndefined();
  });

  it("leaves no half file behind when it can't be replaced", async () => {
    const directory = scratchDirectory();
    const path = join(directory, "position");
    await mkdir(path);
    await expect(fileCheckpoint(path).save(new ScriptedLog().cursor(1))).rejects.toThrow();
    expect(await readdir(directory)).toEqual(["position"]);
  });

  it("brings a consumer back to where it was, however often it is killed", async () => {
    const log = new ScriptedLog();
    log.add(200);
    const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context) });
    const path = join(scratchDirectory(), "position");
    const saved = async () => decodeCursor((await fileCheckpoint(path).load()) ?? log.cursor(0)).position.sequence;
    const seen: number[] = [];
    let kills = 0;
    for (let from = 0; seen.at(-1) !== 200; from = await saved()) {
      const consumer = new Consumer(server.url, path);
      const { numbers: found } = consumer;
      // Half of a life is for sure in the checkpoint, the other half as far as it got: each life gets on.
      consumer.goOn(40);
      await until(() => found.length > 40 || found.at(-1) === 200, "the first half");
      await until(async () => (await saved()) >= from + 40 || found.at(-1) === 200, "a save");
      consumer.goOn(40);
      await until(() => found.length > 80 || found.at(-1) === 200, "the second half");
      await consumer.kill();
      kills++;
      // What was seen after the last save comes again; nothing is left out.
      expect(found).toEqual(numbers(found.length).map((n) => from + n));
      seen.push(...found);
    }
    expect(kills).toBeGreaterThanOrEqual(3);
    expect([...new Set(seen)]).toEqual(numbers(200));
  });
});

/** A consumer in a process of its own. */
class Consumer {
  /** Events that it was given, in order. */
  readonly numbers: number[] = [];
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;

  constructor(url: string, path: string) {
    const program = join(import.meta.dirname, "checkpoint-consumer.ts");
    this.#child = spawn(process.execPath, [program, url, path], { stdio: ["pipe", "pipe", "inherit"] });
    onTestFinished(() => void this.#child.kill("SIGKILL"));
    this.#child.stdin.on("error", () => undefined);
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.numbers.push(Number(line)));
  }

  /** Lets it be done with this many events. */
  goOn(count: number): void {
    this.#child.stdin.write("\n".repeat(count));
  }

  async kill(): Promise<void> {
    const closed = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await closed;
  }
}
