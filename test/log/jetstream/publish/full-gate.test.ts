import { expect, test } from "vitest";
import { ManualClock } from "../../../../src/base/clock.ts";
import { limits } from "../../../../src/base/limits.ts";
import { FullGate } from "../../../../src/log/jetstream/publish/full-gate.ts";

const full = new Error("full");

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

function gate() {
  const clock = new ManualClock();
  const changes: (Error | undefined)[] = [];
  const reserve: { isInUse: boolean | undefined; answer?: PromiseWithResolvers<void> } = { isInUse: false };
  let probes = 0;
  const one = new FullGate({
    clock,
    isReserveInUse: async () => {
      await reserve.answer?.promise;
      if (reserve.isInUse === undefined) throw new Error("no answer");
      return reserve.isInUse;
    },
    probe: () => probes++,
    changed: (error) => changes.push(error),
  });
  const later = async () => {
    clock.advance(limits.natsFullMs);
    await turn();
  };
  return { one, clock, changes, reserve, later, probes: () => probes };
}

test("events are kept from NATS that has no room until it takes what says nothing, tried once in a while", async () => {
  const { one, clock, changes, later, probes } = gate();
  one.acknowledged();
  one.assertOpen();
  for (let refusals = 0; refusals < 3; refusals++) one.refused(full);
  expect(changes).toEqual([full]);
  expect(() => one.assertOpen()).toThrow(full);
  clock.advance(limits.natsFullMs - 1);
  // What was on its way before says nothing of what comes now.
  one.acknowledged();
  expect(() => one.assertOpen()).toThrow(full);
  for (let times = 1; times <= 3; times++) {
    await later();
    expect(probes()).toBe(times);
    one.refused(full);
    one.acknowledged();
    expect(() => one.assertOpen()).toThrow(full);
  }
  // Nobody answers.
  await later();
  await later();
  expect(probes()).toBe(5);
  one.acknowledged();
  await turn();
  one.assertOpen();
  expect(changes).toEqual([full, undefined]);
  expect(clock.pending).toBe(0);
  one.refused(full);
  expect(() => one.assertOpen()).toThrow(full);
});

test("nothing is tried while room is made, and what can't be known keeps nobody from trying", async () => {
  const { one, reserve, later, probes } = gate();
  reserve.isInUse = true;
  one.refused(full);
  for (let times = 0; times < 5; times++) await later();
  expect(probes()).toBe(0);
  one.acknowledged();
  expect(() => one.assertOpen()).toThrow(full);
  reserve.isInUse = undefined;
  await later();
  expect(probes()).toBe(1);
  one.acknowledged();
  await turn();
  one.assertOpen();
});

test("an answer that comes later than it is tried again opens all the same", async () => {
  const { one, reserve, later, probes } = gate();
  one.refused(full);
  await later();
  reserve.answer = Promise.withResolvers<void>();
  one.acknowledged();
  for (let times = 0; times < 3; times++) await later();
  expect(probes()).toBe(1);
  expect(() => one.assertOpen()).toThrow(full);
  reserve.answer.resolve();
  await turn();
  one.assertOpen();
});

test("what was taken by room that was let go of meanwhile opens nothing", async () => {
  const { one, reserve, later, changes, probes } = gate();
  one.refused(full);
  await later();
  expect(probes()).toBe(1);
  reserve.isInUse = true;
  one.acknowledged();
  await turn();
  expect(() => one.assertOpen()).toThrow(full);
  reserve.isInUse = false;
  await later();
  one.acknowledged();
  // Refused before it is known what room that was.
  one.refused(full);
  await turn();
  expect(() => one.assertOpen()).toThrow(full);
  expect(changes).toEqual([full]);
  await later();
  one.acknowledged();
  await turn();
  one.assertOpen();
});

test("one that is stopped tries nothing, and closes no more", async () => {
  const { one, clock, changes, later, probes } = gate();
  one.refused(full);
  clock.advance(limits.natsFullMs);
  one.stop();
  await later();
  expect(probes()).toBe(0);
  expect(clock.pending).toBe(0);
  one.refused(full);
  expect(changes).toEqual([full]);
});
