import type { StreamConfig } from "@nats-io/jetstream";
import { errors } from "@nats-io/transport-node";
import { expect, onTestFinished, test, vi } from "vitest";
import { ManualClock } from "../../../../src/base/clock.ts";
import { limits } from "../../../../src/base/limits.ts";
import { BucketWatch } from "../../../../src/log/jetstream/health/bucket-watch.ts";
import { FullWatch } from "../../../../src/log/jetstream/health/full-watch.ts";
import { SettingsWatch } from "../../../../src/log/jetstream/health/settings-watch.ts";
import { logSettings } from "../../../../src/log/jetstream/stream/settings.ts";
import { setLimit } from "../../../conformance/set-limit.ts";

/** What an operator is told, as short as it can be told apart. */
function operator() {
  const told: string[] = [];
  const report = (error: unknown): void => {
    told.push((error as Error).message);
  };
  return { report, told: () => told.splice(0) };
}

test("settings that were changed are told once, however often they are looked at, and again once they are others", () => {
  const { report, told } = operator();
  const options = { namespace: "n", replicas: 1, maxBytes: undefined };
  const watch = new SettingsWatch(options, report);
  const look = (changed: object): readonly string[] => {
    for (let looks = 0; looks < 3; looks++) {
      watch.look({ ...logSettings(options).made, ...changed } as unknown as StreamConfig);
    }
    return told();
  };
  expect(look({})).toEqual([]);
  expect(look({ max_msgs: 50 })).toEqual([expect.stringContaining("max_msgs is 50 instead of -1")]);
  expect(look({ max_msgs: 60 })).toEqual([expect.stringContaining("max_msgs is 60 instead of -1")]);
  expect(look({})).toEqual([expect.stringContaining("has the settings of the log again")]);
  expect(look({ max_msgs: 60 })).toEqual([expect.stringContaining("max_msgs is 60 instead of -1")]);
});

test("a bucket that does not answer is told once, and once that it does again", async () => {
  setLimit("natsSilentMs", 0);
  const { report, told } = operator();
  const watch = new BucketWatch("n", report);
  const ask = async (answer: () => Promise<void>): Promise<readonly string[]> => {
    for (let times = 0; times < 3; times++) await watch.ask(answer).catch(() => undefined);
    return told();
  };
  const answers = () => Promise.resolve();
  const isSilent = () => Promise.reject(new errors.TimeoutError());
  expect(await ask(answers)).toEqual([]);
  expect(await ask(() => Promise.reject(new Error("refused")))).toEqual([]);
  for (let outages = 0; outages < 2; outages++) {
    expect(await ask(isSilent)).toEqual([expect.stringContaining("NATS does not answer for")]);
    expect(await ask(answers)).toEqual([expect.stringContaining("again. The log is looked after.")]);
  }
});

test("a bucket is silent since the first question that nobody answered while the log's stream was there", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const { report, told } = operator();
  const watch = new BucketWatch("n", report);
  const asked = () => watch.ask(() => Promise.reject(new errors.TimeoutError())).catch(() => undefined);
  await asked();
  vi.advanceTimersByTime(limits.natsSilentMs - 1);
  watch.forget();
  await asked();
  vi.advanceTimersByTime(limits.natsSilentMs - 1);
  await asked();
  expect(told()).toEqual([]);
  vi.advanceTimersByTime(1);
  await asked();
  expect(told()).toHaveLength(1);
});

test("that NATS has no room is told once if none is made soon, then that it has, and not with each time that it is full", () => {
  const { report, told } = operator();
  const clock = new ManualClock();
  const watch = new FullWatch("n", report, clock);
  watch.changed(true);
  clock.advance(limits.natsSilentMs - 1);
  watch.changed(false);
  clock.advance(limits.natsTroubleMs);
  expect(told()).toEqual([]);
  watch.changed(true);
  clock.advance(limits.natsSilentMs);
  expect(told()).toEqual([expect.stringContaining("give NATS more storage")]);
  watch.changed(false);
  expect(told()).toEqual([expect.stringContaining("has room for TAILRACE_n again")]);
  watch.changed(true);
  clock.advance(limits.natsTroubleMs - 1);
  expect(told()).toEqual([]);
  clock.advance(1);
  expect(told()).toEqual([expect.stringContaining("shorter retention")]);
  watch.stop();
});

test("that NATS has no room is told also where it takes what is small in between", () => {
  const { report, told } = operator();
  const clock = new ManualClock();
  const watch = new FullWatch("n", report, clock);
  watch.changed(true);
  clock.advance(2_000);
  watch.changed(false);
  clock.advance(3_000);
  watch.changed(true);
  clock.advance(limits.natsSilentMs - 5_001);
  expect(told()).toEqual([]);
  clock.advance(1);
  expect(told()).toEqual([expect.stringContaining("events are refused")]);
  watch.stop();
});
