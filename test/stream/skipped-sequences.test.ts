import { expect, test } from "vitest";
import { MemoryLog } from "../../src/log/memory/index.ts";
import { TailWorld } from "./world.ts";

/** Leaves out sequences before every event, as a log on JetStream does before those of a new generation. */
class SkippingLog extends MemoryLog {
  reads = 0;

  protected override nextSequence(): number {
    return super.nextSequence() + 2 ** 30;
  }

  override read(...args: Parameters<MemoryLog["read"]>) {
    this.reads++;
    return super.read(...args);
  }
}

test("a replay of the runtime passes over sequences that were left out at once", async () => {
  const world = new TailWorld({ Log: SkippingLog });
  for (const workerId of ["a", "b", "c"]) await world.publish(workerId, 2);
  await world.rest();
  const { sink } = await world.open();
  for (let i = 0; i < 10; i++) await world.rest();
  expect(sink.sequences).toHaveLength(6);
  expect((world.memory as SkippingLog).reads).toBeLessThan(12);
});
