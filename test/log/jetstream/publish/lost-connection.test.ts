import fc from "fast-check";
import { expect, onTestFinished, test, vi } from "vitest";
import { limits } from "../../../../src/base/limits.ts";
import type { SharedLog } from "../../../support/shared-log.ts";
import { SharedStream } from "../../../support/shared-stream.ts";
import { event, readAll, type Seen, seenOf } from "../../harness.ts";

const servers = 2;
const workers = ["a", "b"];

type Step =
  | { readonly kind: "say"; readonly at: number; readonly worker: string; readonly puts: boolean }
  | { readonly kind: "beat" | "disconnect" | "reconnect" | "late"; readonly at: number }
  | { readonly kind: "step"; readonly times: number };

const at = fc.nat({ max: servers - 1 });
const aStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("say" as const),
      at,
      worker: fc.constantFrom(...workers),
      puts: fc.boolean(),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("step" as const), times: fc.nat({ max: 4 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("disconnect", "reconnect", "late" as const), at }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("beat" as const), at }) },
);

test("what a server sends without waiting is there once and in order, whenever connections are lost and whatever comes late", async () => {
  const reached = { late: 0 };
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.array(aStep, { minLength: 20, maxLength: 80 }), async (seed, steps) => {
      const stream = new SharedStream({ seed });
      const seen: Seen[][] = [];
      const open = (): SharedLog => {
        const log = stream.open();
        const own: Seen[] = [];
        seen.push(own);
        log.subscribe((block) => own.push(...seenOf(block)));
        return log;
      };
      const logs = Array.from({ length: servers }, open);
      open();
      const said = new Map<string, string[]>();
      const appended: Promise<unknown>[] = [];
      for (const step of steps) {
        if (step.kind === "step") {
          await new Promise((resolve) => setImmediate(resolve));
          for (let left = step.times; left > 0; left--) stream.step();
          continue;
        }
        const log = logs[step.at] as SharedLog;
        switch (step.kind) {
          case "say": {
            const worker = `${step.worker}${step.at}`;
            const lines = said.get(worker) ?? [];
            said.set(worker, lines);
            lines.push(`${worker}:${lines.length}`);
            const batch = { events: [event(worker, lines.at(-1) as string)], fence: [`worker-end/${worker}`] };
            // Each is decided from the one before, which may be on its way.
            const state = new Map([[`own/${step.at}`, new Uint8Array(1)]]);
            appended.push(log.append(step.puts ? { ...batch, state } : batch));
            break;
          }
          case "beat":
            appended.push(
              log
                .append({ events: [], state: new Map([["beat", new Uint8Array(1)]]), urgent: true })
                .catch(() => undefined),
            );
            break;
          case "late": {
            const { length } = stream.messages;
            log.sendLate(1);
            reached.late += stream.messages.length - length;
            break;
          }
          case "disconnect":
            log.disconnect();
            break;
          case "reconnect":
            log.reconnect();
        }
      }
      for (const log of logs) log.reconnect();
      await stream.until(Promise.all(appended));
      for (const log of logs) log.sendLate();
      await stream.until();
      for (const own of seen) {
        for (const [worker, lines] of said) {
          expect(own.filter(({ workerId }) => workerId === worker).map(({ text }) => text)).toEqual(lines);
        }
      }
    }),
    { numRuns: 100 },
  );
  // The schedules reach what they are to prove.
  expect(reached.late).toBeGreaterThan(0);
});

test("what NATS lost, and something sent after it is there, fails rather than come behind that", async () => {
  const stream = new SharedStream();
  const log = stream.open();
  const said = [];
  for (const text of ["lost", "there", "lost with the connection", "beats"]) {
    const state = new Map([["beat", new Uint8Array(1)]]);
    said.push(log.append(text === "beats" ? { events: [], state, urgent: true } : { events: [event("a", text)] }));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const settled = Promise.allSettled(said);
  const [, there, , beat] = log.outgoing.splice(0);
  if (there === undefined || beat === undefined) throw new Error("they were not sent one by one");
  // What may go before all that waits says nothing of what is sent again behind it.
  log.outgoing.push(there, beat);
  while (log.canSend) log.send();
  log.disconnect();
  log.reconnect();
  await stream.until(settled);
  expect((await settled).map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled", "fulfilled"]);
  expect((await readAll(log)).map(({ text }) => text)).toEqual(["there", "lost with the connection"]);
});

test("an answer to what was sent in a life before says nothing of what is sent again", async () => {
  const stream = new SharedStream();
  const log = stream.open();
  const appended = log.append({ events: [event("a", "once")] });
  await new Promise((resolve) => setImmediate(resolve));
  log.disconnect();
  log.reconnect();
  log.deliver();
  await new Promise((resolve) => setImmediate(resolve));
  expect(log.outgoing).toHaveLength(1);
  log.sendLate();
  await stream.until(appended);
  for (const one of [log, stream.open()]) expect((await readAll(one)).map(({ text }) => text)).toEqual(["once"]);
});

test("what is given up holds nothing up that was sent later, be it there or lost as well", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const stream = new SharedStream();
  const log = stream.open();
  const lose = async (append: Promise<unknown>) => {
    append.catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    expect(log.outgoing.splice(0)).toHaveLength(1);
  };
  const first = log.append({ events: [event("a", "given up")] });
  await lose(first);
  vi.advanceTimersByTime(limits.natsAcknowledgeMs / 2);
  const second = log.append({ events: [event("a", "sent again")] });
  await lose(second);
  vi.advanceTimersByTime(limits.natsAcknowledgeMs / 2 + limits.natsLateMs + 250);
  await expect(first).rejects.toMatchObject({ reason: "log_unavailable" });
  const third = log.append({ events: [event("a", "waited")] });
  await stream.until(Promise.all([second, third]));
  expect((await readAll(log)).map(({ text }) => text)).toEqual(["sent again", "waited"]);
});

test("to ask what became of something is no try whether the stream takes anything", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const log = new SharedStream().open();
  for (const text of ["given up", "on its way"]) {
    log.append({ events: [event("a", text)] }).catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(250);
  }
  log.outgoing.shift()?.unheard();
  vi.advanceTimersByTime(limits.natsLateMs + 250);
  log.outgoing.at(-1)?.unheard();
  expect(log.outgoing).toHaveLength(2);
  expect(log.refusals).toEqual([false, false]);
});

test("a beat that goes before what waits refuses nothing that depends on it", async () => {
  const stream = new SharedStream();
  const log = stream.open();
  log.mute(true);
  const sent = [];
  for (let i = 0; i < limits.natsPromptGroups; i++) {
    sent.push(log.append({ events: [event("a", `${i}`)] }));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const key = "server/one";
  sent.push(log.append({ events: [event("a", "waits")], fence: [key] }));
  sent.push(log.append({ events: [], state: new Map([[key, new Uint8Array(1)]]), urgent: true }));
  await new Promise((resolve) => setImmediate(resolve));
  log.mute(false);
  await stream.until(Promise.all(sent));
});
