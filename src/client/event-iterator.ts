import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import type { WatchedBatch } from "./watch.ts";

/**
 * The events of batches, one by one. Events that are there already come as promises that are settled: a generator would
 * cost each of them two turns of the queue of promises. `onDone` hears how many events of the batch the consumer is done
 * with.
 */
export function eventIterator(
  batches: AsyncIterator<WatchedBatch, undefined>,
  onDone: (count: number) => void,
): AsyncIterableIterator<Event, undefined> {
  let events: readonly Event[] = [];
  let next = 0;
  /** Calls of `next` that wait for a batch; later ones queue behind them, so that events keep their order. */
  let waiting = 0;
  let turn: Promise<unknown> = Promise.resolve();

  async function fromNextBatch(): Promise<IteratorResult<Event, undefined>> {
    if (next >= events.length) {
      const result = await batches.next();
      if (result.done) {
        events = [];
        next = 0;
        return { value: undefined, done: true };
      }
      events = result.value.events;
      next = 0;
    }
    return take();
  }

  function take(): IteratorResult<Event, undefined> {
    onDone(next);
    return { value: events[next++] as Event, done: false };
  }

  return {
    next() {
      if (waiting === 0 && next < events.length) return Promise.resolve(take());
      waiting++;
      const result = turn.then(fromNextBatch);
      turn = result.then(
        () => waiting--,
        () => waiting--,
      );
      return result;
    },
    async return() {
      events = [];
      next = 0;
      await batches.return?.();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
