import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { eventIterator } from "../../src/client/event-iterator.ts";
import type { WatchedBatch } from "../../src/client/watch.ts";

it("gives events in the order in which they were asked for, also to who asks between others that wait", async () => {
  const events = [1n, 2n, 3n, 4n].map((sequence) => create(EventSchema, { sequence }));
  async function* batches(): AsyncGenerator<WatchedBatch, undefined> {
    yield { events, cursor: "c", runtimeId: "r" };
    return undefined;
  }
  const iterator = eventIterator(batches(), () => undefined);
  const order: (bigint | undefined)[] = [];
  const ask = async (place: number) => {
    order[place] = (await iterator.next()).value?.sequence;
  };
  const first = ask(0);
  const second = ask(1);
  // Asked for in every turn while the first two settle: no one may overtake the second.
  const later: Promise<void>[] = [];
  for (let turn = 0; turn < 12; turn++) {
    await Promise.resolve();
    later.push(ask(turn + 2));
  }
  await Promise.all([first, second, ...later]);
  expect(order.slice(0, 5)).toEqual([1n, 2n, 3n, 4n, undefined]);
});
