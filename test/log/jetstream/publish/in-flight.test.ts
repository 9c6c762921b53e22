import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { limits } from "../../../../src/base/limits.ts";
import { GroupsInFlight } from "../../../../src/log/jetstream/publish/in-flight.ts";

const silent: number[] = [];
const late: { number: number; error: unknown }[] = [];

beforeEach(({ onTestFinished }) => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  late.length = 0;
  silent.length = 0;
});

function flights(...numbers: readonly number[]) {
  const groups = new GroupsInFlight<{ number: number; bytes: number }>({
    silent: ({ number }) => silent.push(number),
    late: ({ number }, error) => {
      late.push({ number, error });
      groups.take(number);
    },
  });
  for (const number of numbers) groups.add({ number, bytes: 10 });
  return groups;
}

const isLate = () => late.map(({ number }) => number);

test("a group that nobody answers is given up, and one that was acknowledged when it does not come back", () => {
  const groups = flights(1, 2, 3);
  groups.acknowledged(2);
  groups.take(3);
  vi.advanceTimersByTime(limits.natsAcknowledgeMs + limits.natsLateMs - 1);
  expect(isLate()).toEqual([]);
  vi.advanceTimersByTime(1_000);
  expect(isLate()).toEqual([1]);
  vi.advanceTimersByTime(limits.natsComeBackMs - limits.natsAcknowledgeMs - 1_001);
  expect(isLate()).toEqual([1]);
  vi.advanceTimersByTime(1_000);
  expect(isLate()).toEqual([1, 2]);
  expect(silent).toEqual([1]);
  expect(groups.size).toBe(0);
});

test("one that failed has a while to come back all the same, and is given up for the first reason", () => {
  const groups = flights(1, 2);
  const [first, second] = [new Error("first"), new Error("second")];
  groups.failed(1, first);
  groups.failed(2, second);
  vi.advanceTimersByTime(limits.natsLateMs / 2);
  groups.failed(1, second);
  groups.take(2);
  expect(isLate()).toEqual([]);
  vi.advanceTimersByTime(limits.natsLateMs);
  expect(late).toEqual([{ number: 1, error: first }]);
});

test("after a pause of the process what has come meanwhile is read before anything is given up", () => {
  const groups = flights(1);
  // All timers that were due run once, as when a process goes on that stood still.
  const paused = vi.spyOn(performance, "now").mockReturnValue(performance.now() + 10 * limits.natsComeBackMs);
  onTestFinished(() => paused.mockRestore());
  vi.advanceTimersToNextTimer();
  expect(isLate()).toEqual([]);
  groups.take(1);
  vi.advanceTimersByTime(10 * limits.natsComeBackMs);
  expect(isLate()).toEqual([]);
});

test("there is room for so many groups and bytes, and it is there again when they are over", () => {
  const groups = flights(...Array.from({ length: limits.natsGroupsInFlight - 1 }, (_, i) => i));
  expect(groups.isFull).toBe(false);
  groups.add({ number: 1_000, bytes: 10 });
  expect(groups.isFull).toBe(true);
  groups.take(5);
  groups.take(5);
  expect(groups.isFull).toBe(false);
  groups.add({ number: 1_001, bytes: limits.natsBytesInFlight });
  groups.take(6);
  expect(groups.isFull).toBe(true);
  groups.take(1_001);
  expect(groups.isFull).toBe(false);
  expect(groups.groups().map(({ number }) => number)).toContain(1_000);
  expect(vi.getTimerCount()).toBe(1);
  for (const { number } of groups.groups()) groups.take(number);
  vi.advanceTimersByTime(limits.natsLateMs);
  expect(vi.getTimerCount()).toBe(0);
});
