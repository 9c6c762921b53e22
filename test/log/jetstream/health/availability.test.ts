import { expect, test } from "vitest";
import { ManualClock } from "../../../../src/base/clock.ts";
import { limits } from "../../../../src/base/limits.ts";
import { Availability } from "../../../../src/log/jetstream/health/availability.ts";

test("what is missing is said once it has been for a while, and no longer when everything is there again", () => {
  const clock = new ManualClock();
  const told: boolean[] = [];
  const availability = new Availability(clock, (isAvailable) => told.push(isAvailable));
  expect(availability.health()).toEqual({ available: true });
  availability.misses("link");
  clock.advance(limits.natsAwayMs - 1);
  availability.has("link");
  clock.advance(limits.natsAwayMs);
  expect(told).toEqual([]);

  availability.misses("link");
  const sinceMs = clock.now();
  availability.misses("tail");
  clock.advance(limits.natsAwayMs - 1);
  // It is missing already.
  availability.misses("link");
  expect(availability.health()).toEqual({ available: true });
  clock.advance(1);
  expect(availability.health()).toMatchObject({
    available: false,
    sinceMs,
    error: { reason: "log_unavailable", details: { sinceMs }, message: expect.stringMatching(/connection to NATS/) },
  });
  availability.has("link");
  expect(availability.isAvailable).toBe(false);
  expect(availability.health()).toMatchObject({ error: { message: expect.stringMatching(/does not send/) } });
  availability.has("tail");
  expect(availability.health()).toEqual({ available: true });
  expect(told).toEqual([false, true]);

  availability.misses("stream");
  clock.advance(limits.natsSilentMs);
  expect(availability.health()).toMatchObject({ error: { message: expect.stringMatching(/does not answer/) } });
  availability.misses("link");
  availability.stop();
  clock.advance(limits.natsAwayMs);
  expect(told).toEqual([false, true, false]);
});
