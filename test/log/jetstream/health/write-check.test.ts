import { expect, onTestFinished, test, vi } from "vitest";
import { TailraceError } from "../../../../src/base/errors.ts";
import { limits } from "../../../../src/base/limits.ts";
import { Availability } from "../../../../src/log/jetstream/health/availability.ts";
import { TailCheck } from "../../../../src/log/jetstream/health/tail-check.ts";
import { WriteCheck, type WriteKind } from "../../../../src/log/jetstream/health/write-check.ts";

/** A check without NATS, on a clock of the test. */
function world() {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const told: boolean[] = [];
  const probes: WriteKind[] = [];
  const clock = { now: () => Date.now(), after: () => () => undefined } as never;
  const availability = new Availability(clock, (isAvailable) => told.push(isAvailable));
  let hear: (connected: boolean) => void = () => undefined;
  const link = {
    awaySinceMs: undefined as number | undefined,
    subscribe(listener: typeof hear) {
      hear = listener;
    },
  };
  const check = new WriteCheck(link as never, availability, (kind) => probes.push(kind));
  onTestFinished(() => check.stop());
  const connected = (is: boolean) => {
    link.awaySinceMs = is ? undefined : Date.now();
    hear(is);
  };
  const complaint = () => {
    const health = availability.health();
    return health.available ? undefined : [health.error.message, health.reads];
  };
  return { told, probes, check, connected, complaint, availability };
}

const events = { kind: "events", sentAtMs: 0 } as const;
const silent = ["NATS does not acknowledge what is written to the log.", true];
const refusal = new TailraceError("log_unavailable", { sinceMs: 0, retryAfterMs: 0 }, "refused");

async function advance(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

test("writes that nobody answers for make a log unavailable, until one of the kind is taken that is tried meanwhile", async () => {
  const { told, probes, check, complaint } = world();
  await advance(10);
  const write = { ...events, sentAtMs: performance.now() };
  await advance(5_000);
  check.late(write);
  await advance(0);
  expect([probes, complaint()]).toEqual([["events"], undefined]);
  check.unanswered(write);
  expect(complaint()).toEqual(silent);
  await advance(2 * limits.natsProbeMs);
  expect(probes).toEqual(["events", "events", "events"]);
  // Of another kind: it says nothing of this one.
  check.taken("changes");
  expect(complaint()).toEqual(silent);
  check.taken("events");
  expect(complaint()).toBeUndefined();
  expect(told).toEqual([false, true]);
  await advance(10 * limits.natsProbeMs);
  expect(probes).toHaveLength(3);
});

test("a write that was lost alone, or with its connection, says nothing of those after it", async () => {
  const { probes, check, connected, complaint } = world();
  await advance(10);
  const write = { ...events, sentAtMs: performance.now() };
  await advance(1);
  check.taken("events");
  check.late(write);
  check.unanswered(write);
  const later = { ...events, sentAtMs: performance.now() + 1 };
  await advance(2);
  connected(false);
  check.unanswered(later);
  connected(true);
  check.late(later);
  check.unanswered(later);
  await advance(limits.natsProbeMs);
  expect([probes, complaint()]).toEqual([[], undefined]);
});

test("nothing is tried without a connection, and at once with a new one", async () => {
  const { probes, check, connected, complaint } = world();
  await advance(10);
  check.unanswered({ ...events, sentAtMs: performance.now() });
  await advance(0);
  connected(false);
  await advance(3 * limits.natsProbeMs);
  expect(probes).toHaveLength(1);
  connected(true);
  expect(probes).toHaveLength(2);
  // Nobody knows yet whether anything is better.
  expect(complaint()).toEqual(silent);
});

test("one refusal says nothing, and those of all that is tried for a while say what NATS says", async () => {
  const { probes, check, complaint } = world();
  check.refused("events", false, refusal);
  const isProbed = async () => {
    await advance(limits.natsProbeMs);
    check.refused("events", true, refusal);
  };
  for (let ms = limits.natsProbeMs; ms < limits.natsRefusedMs; ms += limits.natsProbeMs) await isProbed();
  expect(complaint()).toBeUndefined();
  await isProbed();
  expect(complaint()).toEqual([
    "NATS does not take what is written to the log: there is no stream that takes it.",
    true,
  ]);
  check.taken("events");
  expect(complaint()).toBeUndefined();
  const before = probes.length;
  check.stop();
  check.refused("events", false, refusal);
  await advance(limits.natsProbeMs);
  expect(probes).toHaveLength(before);
});

test("a tail that stands still behind the stream makes a log unavailable, and is made anew", () => {
  const { told, complaint, availability } = world();
  let made = 0;
  const check = new TailCheck(availability, () => made++);
  const looks = limits.natsStuckMs / limits.natsLookMs;
  // Nothing comes, as long as one likes.
  for (let look = 0; look < 3 * looks; look++) check.looked(5, 5);
  // It is behind, and goes on.
  for (let look = 0; look < 3 * looks; look++) check.looked(100, 5 + look);
  expect([complaint(), made]).toEqual([undefined, 0]);
  for (let look = 0; look < looks; look++) check.looked(100, 50);
  expect([complaint(), made]).toEqual([undefined, 0]);
  check.looked(101, 50);
  // Readers hear nothing either.
  expect(complaint()).toEqual(["NATS has newer events in the log than it sends to this server.", undefined]);
  expect(made).toBe(1);
  for (let look = 0; look < looks; look++) check.looked(101, 50);
  expect(made).toBe(2);
  check.looked(101, 51);
  expect(complaint()).toBeUndefined();
  expect(told).toEqual([false, true]);
});

test("what else is missing weighs more than that nothing can be appended", () => {
  const { told, check, complaint, availability } = world();
  vi.advanceTimersByTime(10);
  check.unanswered({ ...events, sentAtMs: performance.now() });
  expect([complaint(), told]).toEqual([silent, [false]]);
  availability.misses("feed");
  expect(complaint()?.[1]).toBeUndefined();
  availability.has("feed");
  expect(complaint()).toEqual(silent);
  expect(told).toEqual([false, false, false]);
  check.taken("events");
  expect(told).toEqual([false, false, false, true]);
});
