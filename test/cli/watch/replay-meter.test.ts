import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { EventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import { ReplayMeter } from "../../../src/cli/watch/replay-meter.ts";
import { CursorCodec, origin } from "../../../src/events/cursor.ts";

const cursors = new CursorCodec("runtime", 1n);
const at = (sequence: number) => cursors.encode({ ...origin, sequence, ordinal: sequence });
const events = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => create(EventSchema, { sequence: BigInt(from + index) }));

test("it says how far and how fast once a second, and what it was in all", () => {
  const clock = new ManualClock();
  const meter = new ReplayMeter(clock);
  meter.open(at(1_000), at(3_000));
  clock.advance(500);
  expect(meter.advance(events(1_001, 1_500))).toBeUndefined();
  clock.advance(500);
  expect(meter.advance(events(1_501, 2_000))).toBe("replayed 1,000 events, 50% of what is there, 1,000/s");
  clock.advance(1_000);
  expect(meter.advance(events(2_001, 2_500))).toBe("replayed 1,500 events, 75% of what is there, 500/s");
  expect(meter.catchUp()).toBe("caught up: 1,500 events in 2.0 s, 750/s");
  expect(meter.catchUp()).toBeUndefined();
});

test("a short replay passes without a word", () => {
  const clock = new ManualClock();
  const meter = new ReplayMeter(clock);
  meter.open(at(0), at(10));
  clock.advance(900);
  expect(meter.advance(events(1, 10))).toBeUndefined();
  expect(meter.catchUp()).toBeUndefined();
  clock.advance(5_000);
  expect(meter.advance(events(11, 12))).toBeUndefined();
});
