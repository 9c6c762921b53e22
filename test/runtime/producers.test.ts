import fc from "fast-check";
import { expect, test } from "vitest";
import { limits } from "../../src/base/limits.ts";
import { Runtime } from "../../src/runtime/runtime.ts";
import { setLimit } from "../conformance/set-limit.ts";
import { until } from "../support/until.ts";
import { batch, customEvents, eventsIn, framesUntil, isDiagnostic, memoryRuntime } from "./support.ts";

test("a repeat gets its first answer, also while the first is on its way and after a restart of the runtime", async () => {
  const { runtime, log, clock } = memoryRuntime();
  const request = batch({ events: customEvents("a", 3), producerId: "p", firstProducerSequence: 1n });
  const [first, concurrent] = await Promise.all([runtime.publishEvents(request), runtime.publishEvents(request)]);
  expect(first).toMatchObject({ duplicate: false });
  expect(concurrent).toEqual({ ...first, duplicate: true });
  const restarted = new Runtime({ log, clock });
  expect(await restarted.publishEvents(request)).toEqual({ ...first, duplicate: true });
});

test("holes, numbers used before and other content are conflicts that name the number that comes next", async () => {
  const { runtime } = memoryRuntime();
  const publish = (first: bigint, events = customEvents("a", 2)) =>
    runtime.publishEvents(batch({ events, producerId: "p", firstProducerSequence: first }));
  await publish(1n);
  const conflict = { reason: "producer_conflict", details: { expectedProducerSequence: 3 } };
  await expect(publish(4n)).rejects.toMatchObject(conflict);
  await expect(publish(2n)).rejects.toMatchObject(conflict);
  await expect(publish(1n, customEvents("a", 2, 7))).rejects.toMatchObject(conflict);
  await expect(publish(1n, customEvents("a", 1))).rejects.toMatchObject(conflict);
  await publish(3n);
});

test("a producer that is not known must begin at 1", async () => {
  const { runtime, clock } = memoryRuntime();
  const publish = (first: bigint) =>
    runtime.publishEvents(batch({ events: customEvents("a", 1), producerId: "p", firstProducerSequence: first }));
  await expect(publish(5n)).rejects.toMatchObject({ reason: "producer_unknown", details: { producerId: "p" } });
  await publish(1n);
  clock.advance(limits.producerMemoryMs + 1);
  await expect(publish(2n)).rejects.toMatchObject({ reason: "producer_unknown" });
  await publish(1n);
});

test("producers are forgotten, oldest first, when there are too many", async () => {
  const { runtime, log } = memoryRuntime();
  const publish = (producerId: string, first: bigint) =>
    runtime.publishEvents(batch({ events: customEvents("a", 1), producerId, firstProducerSequence: first }));
  for (let i = 0; i < limits.maxProducers; i++) await publish(`p${i}`, 1n);
  await publish("p0", 2n);
  await publish("one more", 1n);
  expect([...log.stateEntries("producer/")]).toHaveLength(limits.maxProducers);
  await publish("p0", 3n);
  await expect(publish("p1", 2n)).rejects.toMatchObject({ reason: "producer_unknown" });
});

/** A runtime whose log takes each append when it is told to, and not before. */
function stalledRuntime() {
  const { runtime, log } = memoryRuntime();
  const append = log.append.bind(log);
  const stalled: { go(): void; fail(error: unknown): void }[] = [];
  log.append = (request) =>
    new Promise((resolve, fail) => {
      stalled.push({ go: () => void append(request).then(resolve, fail), fail });
    });
  const data = new Uint8Array(100_000);
  const publish = (producerId: string, first: number) => {
    const events = [{ workerId: "a", payload: { case: "custom" as const, value: { type: "test", data } } }];
    return runtime.publishEvents(batch({ events, producerId, firstProducerSequence: BigInt(first) }));
  };
  /** The oldest append, once there is one. */
  const next = async () => {
    await until(() => stalled.length > 0, "an append");
    return stalled.shift() as (typeof stalled)[number];
  };
  const flow = () => {
    log.append = append;
    for (const { go } of stalled.splice(0)) go();
  };
  return { publish, next, flow };
}

const refusedBy = (limit: string) => ({ reason: "limit_exceeded", details: { limit, retryAfterMs: 100 } });

test("what waits for a log that does not answer is bounded, of one producer and of all", async () => {
  setLimit("maxProducerPendingBytes", 300_000);
  setLimit("maxProducersPendingBytes", 1_000_000);
  const { publish, flow } = stalledRuntime();
  const waiting: Promise<unknown>[] = [];
  for (const producerId of ["p", "q", "r", "s"]) waiting.push(publish(producerId, 1), publish(producerId, 2));
  await expect(publish("p", 3)).rejects.toMatchObject(refusedBy("maxProducerPendingBytes"));
  waiting.push(publish("t", 1));
  await expect(publish("t", 2)).rejects.toMatchObject(refusedBy("maxProducersPendingBytes"));
  await expect(publish("u", 1)).rejects.toMatchObject(refusedBy("maxProducersPendingBytes"));
  flow();
  await Promise.all(waiting);
  expect(await publish("p", 3)).toMatchObject({ duplicate: false });
  expect(await publish("t", 2)).toMatchObject({ duplicate: false });
});

test("a producer that is never idle has room again for what was answered, and its batches keep their turns", async () => {
  setLimit("maxProducerPendingBytes", 300_000);
  const { publish, next, flow } = stalledRuntime();
  let [older, newer] = [publish("p", 1), publish("p", 2)];
  for (let first = 3; first < 9; first++) {
    await expect(publish("p", first)).rejects.toMatchObject(refusedBy("maxProducerPendingBytes"));
    (await next()).go();
    await older;
    // While the one before it is on its way.
    [older, newer] = [newer, publish("p", first)];
  }
  flow();
  expect(await Promise.all([older, newer])).toMatchObject([{ duplicate: false }, { duplicate: false }]);
});

test("a batch that fails takes none of those with it that wait behind it", async () => {
  const { publish, next, flow } = stalledRuntime();
  const failing = publish("p", 1);
  const repeated = publish("p", 1);
  (await next()).fail(new Error("the log is away"));
  await expect(failing).rejects.toThrow("the log is away");
  flow();
  expect(await repeated).toMatchObject({ duplicate: false });
});

test("whatever a producer repeats, every event is committed once and in order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ size: fc.integer({ min: 1, max: 4 }), repeats: fc.nat(2), wait: fc.boolean() }), {
        minLength: 1,
        maxLength: 12,
      }),
      async (batches) => {
        const { runtime } = memoryRuntime();
        let next = 1;
        const answers: Promise<unknown>[] = [];
        for (const { size, repeats, wait } of batches) {
          const request = batch({
            events: customEvents("a", size, next),
            producerId: "p",
            firstProducerSequence: BigInt(next),
          });
          for (let i = 0; i <= repeats; i++) answers.push(runtime.publishEvents(request));
          if (wait) await Promise.all(answers);
          next += size;
        }
        await Promise.all(answers);
        const frames = await framesUntil(runtime.watch({ workerIds: ["a"] }), isDiagnostic("caughtUp"));
        const texts = eventsIn(frames).flatMap(({ payload }) =>
          payload.case === "custom" ? [Number(new TextDecoder().decode(payload.value.data))] : [],
        );
        expect(texts).toEqual(Array.from({ length: next - 1 }, (_, i) => i + 1));
        await runtime.close();
      },
    ),
    { numRuns: 200 },
  );
});
