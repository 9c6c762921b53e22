import { expect, test } from "vitest";
import { ownRuntime } from "../../../src/cli/run/target.ts";
import { openSse, type SseReader } from "../../support/sse-reader.ts";

/** More than the buffers of both sockets take. */
const chunks = 500;
const chunk = Buffer.alloc(48 * 1024, "x");

/** A runtime of our own that has published, with a watcher that has taken the beginning and nothing since. */
async function withWatcherBehind(boundMs?: number) {
  const target = await ownRuntime(
    { log: "memory", listen: "127.0.0.1:0", data: undefined, durability: undefined, retention: {}, insecure: false },
    boundMs,
  );
  const reader: SseReader = await openSse(`${target.url}/v1/events?kinds=output`);
  await reader.find("opened");
  reader.pause();
  for (let i = 0; i < chunks; i++) {
    await target.publish([{ workerId: "w", payload: { case: "output", value: { data: chunk } } }]);
  }
  return { target, reader };
}

test("a runtime of our own stays until a watcher that is behind has everything", async () => {
  const { target, reader } = await withWatcherBehind(600_000);
  let finished = false;
  const finishing = target.finish(new AbortController().signal).then(() => {
    finished = true;
  });
  // It looks several times meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(finished).toBe(false);
  reader.resume();
  expect((await reader.rest()).filter(({ event }) => event === "output")).toHaveLength(chunks);
  await finishing;
});

test("it waits for one that never reads within its bound only, and not at all when it is told to stop", async () => {
  const { target } = await withWatcherBehind(300);
  await target.finish(new AbortController().signal);
  const other = await withWatcherBehind(600_000);
  await other.target.finish(AbortSignal.abort());
});
