import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { limits } from "../../src/base/limits.ts";
import { type OpenWatch, TailWorld } from "./world.ts";

/** What the microtasks and ticks of this turn of the event loop do. */
async function restOfTurn(): Promise<void> {
  await new Promise<void>((resolve) => process.nextTick(resolve));
}

/** A world whose watches are live, and that has been idle for long enough. */
async function idle(watches = 1): Promise<{ world: TailWorld; open: OpenWatch[] }> {
  const world = new TailWorld();
  const open: OpenWatch[] = [];
  for (let i = 0; i < watches; i++) open.push(await world.open());
  await world.rest();
  world.clock.advance(limits.coalesceMs);
  return { world, open };
}

test("an idle tail writes an event in the turn that commits it, behind the answer to its publisher", async () => {
  const { world, open } = await idle();
  const sink = open[0]?.sink;
  let passed = false;
  setImmediate(() => {
    passed = true;
  });
  await world.publish("a");
  expect(sink?.sequences).toEqual([]);
  await restOfTurn();
  expect(sink?.sequences).toEqual([1]);
  expect(passed).toBe(false);
});

test("what comes right after that is gathered", async () => {
  const { world, open } = await idle();
  const sink = open[0]?.sink;
  await world.publish("a");
  await restOfTurn();
  await world.publish("a");
  await turn();
  await world.publish("a");
  await turn();
  expect(sink?.sequences).toEqual([1]);
  world.clock.advance(limits.coalesceMs);
  expect(sink?.sequences).toEqual([1, 2, 3]);
});

test("events that are many bytes are not gathered any longer", async () => {
  const { world, open } = await idle();
  const sink = open[0]?.sink;
  await world.publish("a");
  await restOfTurn();
  const data = new Uint8Array(limits.coalesceBytes / 2);
  const payload = { case: "output" as const, value: { data } };
  await world.publish("a", 1, payload);
  await turn();
  expect(sink?.sequences).toEqual([1]);
  await world.publish("a", 1, payload);
  await turn();
  expect(sink?.sequences).toEqual([1, 2, 3]);
});

test("many watches do not hold up the turn that commits", async () => {
  const { world, open } = await idle(limits.promptWatches + 1);
  await world.publish("a");
  await restOfTurn();
  expect(open[0]?.sink.sequences).toEqual([]);
  await turn();
  for (const { sink } of open) expect(sink.sequences).toEqual([1]);
});

test.each([
  { tookMs: limits.coalesceMs * 3, restMs: limits.coalesceMs * 6 },
  { tookMs: limits.coalesceMostMs * 10, restMs: limits.coalesceMostMs },
])("after a flush of $tookMs ms the tail rests for $restMs ms", async ({ tookMs, restMs }) => {
  const { world, open } = await idle();
  const sink = open[0]?.sink as OpenWatch["sink"];
  await slowFlush(world, sink, tookMs);
  world.clock.advance(restMs / 2);
  // The rest is no longer for what comes late in it.
  await world.publish("a");
  await turn();
  world.clock.advance(restMs / 2 - limits.coalesceMs);
  await world.publish("a");
  expect(sink.sequences).toEqual([1]);
  world.clock.advance(limits.coalesceMs);
  expect(sink.sequences).toEqual([1, 2, 3]);
});

test("what comes when a long rest is over is written in its turn", async () => {
  const { world, open } = await idle();
  const sink = open[0]?.sink as OpenWatch["sink"];
  await slowFlush(world, sink, limits.coalesceMs * 3);
  world.clock.advance(limits.coalesceMs * 6);
  await world.publish("a");
  await restOfTurn();
  expect(sink.sequences).toEqual([1, 2]);
});

/** Writes one event, for so long. */
async function slowFlush(world: TailWorld, sink: OpenWatch["sink"], tookMs: number): Promise<void> {
  const write = sink.write.bind(sink);
  let isSlow = true;
  sink.write = (chunk) => {
    if (isSlow) world.clock.advance(tookMs);
    isSlow = false;
    return write(chunk);
  };
  await world.publish("a");
  await restOfTurn();
}
