import fc from "fast-check";
import { beforeEach, expect, test, vi } from "vitest";
import { resolveRetention } from "../../../../src/log/index/retention.ts";
import type { StreamMessage } from "../../../../src/log/jetstream/fold/assembly.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { restoreSnapshot, SnapshotCut } from "../../../../src/log/jetstream/fold/snapshot.ts";
import type { SharedLog } from "../../../support/shared-log.ts";
import { SharedStream } from "../../../support/shared-stream.ts";
import { event, type Seen, seenOf } from "../../harness.ts";

const servers = 2;

type Step =
  | {
      readonly kind: "say" | "put" | "lose" | "unheard" | "unanswered" | "late" | "disconnect" | "reconnect";
      at: number;
    }
  | { readonly kind: "pause" | "resume" | "deaf" | "hears"; readonly at: number }
  | { readonly kind: "cut"; readonly at: number; readonly arriving: number }
  | { readonly kind: "deliver" | "wait"; readonly times: number };

const at = fc.nat({ max: servers - 1 });
const aStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constantFrom("say", "put"), at }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("deliver"), times: fc.nat({ max: 4 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("lose", "unheard", "unanswered"), at }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("disconnect", "reconnect", "late"), at }) },
  // What is answered meanwhile is heard in the next life.
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("pause", "resume", "deaf", "hears"), at }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cut"), at, arriving: fc.nat({ max: 4 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait"), times: fc.integer({ min: 1, max: 24 }) }) },
);

beforeEach(({ onTestFinished }) => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
});

/** Lets everyone who was told something do what follows from it. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Time goes by, in which servers see what is not answered. */
async function wait(times: number): Promise<void> {
  for (let left = times; left > 0; left--) {
    vi.advanceTimersByTime(250);
    await turn();
  }
}

function snapshotOf(fold: Fold): Buffer {
  return Buffer.concat([...new SnapshotCut(fold).pieces()]);
}

/** Who goes on from a snapshot of the first `through` messages knows in the end what who has heard all of them does. */
function expectSameFromSnapshot(messages: readonly StreamMessage[], through: number): void {
  const [whole, restored] = [new Fold(resolveRetention(), 0, 0), new Fold(resolveRetention(), 0, 0)];
  for (const message of messages.slice(0, through)) whole.take(message, () => undefined);
  restoreSnapshot(restored, snapshotOf(whole));
  for (const message of messages.slice(through))
    for (const fold of [whole, restored]) fold.take(message, () => undefined);
  expect(snapshotOf(restored).equals(snapshotOf(whole))).toBe(true);
}

test("whatever NATS loses or does not answer, what is there is in order and once, with all that it was decided from", async () => {
  const reached = { acknowledged: 0, failed: 0 };
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.array(aStep, { minLength: 20, maxLength: 80 }), async (seed, steps) => {
      const stream = new SharedStream({ seed });
      const logs = Array.from({ length: servers }, () => stream.open());
      const told = [...logs, stream.open()].map((log) => {
        const own: Seen[] = [];
        log.subscribe((block) => own.push(...seenOf(block)));
        return own;
      });
      const acknowledged: string[] = [];
      const settled: Promise<void>[] = [];
      /** What each server puts and does not know of yet, in order. */
      const putting: string[][] = logs.map(() => []);
      let number = 0;
      const append = (log: SharedLog, worker: string, text: string, state?: ReadonlyMap<string, Uint8Array>) => {
        const batch = { events: [event(worker, text)] };
        const appended = log.append(state === undefined ? batch : { ...batch, state });
        const done = appended.then(
          () => void acknowledged.push(text),
          () => void reached.failed++,
        );
        settled.push(done);
        return done;
      };
      const put = (place: number) => {
        const log = logs[place] as SharedLog;
        const own = putting[place] as string[];
        const known = log.state("key");
        const before = own.at(-1) ?? (known === undefined ? "nothing" : new TextDecoder().decode(known));
        const id = `${++number}`;
        own.push(id);
        const state = new Map([["key", new TextEncoder().encode(id)]]);
        void append(log, "key", `${id} after ${before}`, state).then(() => own.splice(own.indexOf(id), 1));
      };
      for (const step of steps) {
        if ("times" in step) {
          if (step.kind === "wait") await wait(step.times);
          else for (let left = step.times; left > 0; left--) stream.step();
          await turn();
        } else {
          const log = logs[step.at] as SharedLog;
          if (step.kind === "say") void append(log, `${step.at}`, `${step.at}: ${++number}`);
          else if (step.kind === "put") put(step.at);
          else if (step.kind === "lose") log.outgoing.splice(seed % (log.outgoing.length + 1), 1);
          else if (step.kind === "unheard") log.outgoing.shift()?.unheard();
          else if (step.kind === "unanswered") log.dropAnswers();
          else if (step.kind === "late") log.sendLate(1);
          else if (step.kind === "pause") log.pause();
          else if (step.kind === "resume") log.resume();
          else if (step.kind === "deaf" || step.kind === "hears") log.deafen(step.kind === "deaf");
          else if (step.kind === "cut") log.disconnect(step.arriving);
          else if (step.kind === "disconnect") log.disconnect();
          else log.reconnect();
          await turn();
        }
      }
      for (const log of logs) {
        log.reconnect();
        log.resume();
        log.deafen(false);
      }
      let isSettled = false;
      const all = Promise.all(settled).then(() => {
        isSettled = true;
      });
      while (!isSettled) {
        while (stream.step());
        await wait(1);
      }
      await all;
      for (const log of logs) log.sendLate();
      await stream.until();
      for (const own of told) expect(own).toEqual(told[0]);
      expectSameFromSnapshot(stream.messages, seed % (stream.messages.length + 1));
      const texts = told[0]?.map(({ text }) => text) ?? [];
      expect(new Set(texts).size).toBe(texts.length);
      expect(acknowledged.filter((text) => !texts.includes(text))).toEqual([]);
      for (let place = 0; place < servers; place++) {
        const said = texts.filter((text) => text.startsWith(`${place}: `)).map((text) => Number(text.slice(3)));
        expect(said).toEqual([...said].sort((one, other) => one - other));
      }
      let last = "nothing";
      for (const text of texts.filter((one) => one.includes(" after "))) {
        const [id = "", before] = text.split(" after ");
        expect(before).toBe(last);
        last = id;
      }
      reached.acknowledged += acknowledged.length;
    }),
    { numRuns: 100 },
  );
  // The schedules reach what they are to prove.
  for (const count of Object.values(reached)) expect(count).toBeGreaterThan(0);
});
