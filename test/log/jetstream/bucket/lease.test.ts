import { expect, onTestFinished, test, vi } from "vitest";
import { limits } from "../../../../src/base/limits.ts";
import { Lease } from "../../../../src/log/jetstream/bucket/lease.ts";

/** A bucket, as servers have it whose connections may be away. */
function bucket() {
  let kept: { readonly value: Uint8Array; readonly revision: number } | undefined;
  let revision = 0;
  const server = () => {
    const link = { isAway: false };
    const reach = async () => {
      if (link.isAway) throw new Error("no answer");
    };
    const meta = {
      async get() {
        await reach();
        return kept;
      },
      async swap(_key: string, value: Uint8Array, expected: number | undefined) {
        await reach();
        if (kept?.revision !== expected) return undefined;
        kept = { value, revision: ++revision };
        return revision;
      },
      async remove(_key: string, expected: number) {
        await reach();
        if (kept?.revision === expected) kept = undefined;
      },
    };
    return { link, meta: meta as never };
  };
  return server;
}

test("a server without a connection has no lease any more before another one takes it, and not when it is back", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "setTimeout", "clearTimeout", "performance"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const server = bucket();
  const [one, other] = [server(), server()];
  const leases = [
    new Lease(one.meta, "one", () => undefined),
    new Lease(other.meta, "other", () => undefined),
  ] as const;
  const held = () => leases.map(({ isHeld }) => isHeld);
  /** Time passes, in which never both have it. */
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 100) {
      await vi.advanceTimersByTimeAsync(100);
      expect(held().filter(Boolean).length).toBeLessThanOrEqual(1);
    }
  };
  for (const lease of leases) await lease.start();
  expect(held()).toEqual([true, false]);
  await pass(3 * limits.natsLeaseMs);
  expect(held()).toEqual([true, false]);
  one.link.isAway = true;
  await pass(limits.natsLeaseMs);
  expect(held()).toEqual([false, false]);
  await pass(limits.natsLeaseMs + 2 * limits.natsLeaseRenewMs);
  expect(held()).toEqual([false, true]);
  one.link.isAway = false;
  await pass(3 * limits.natsLeaseMs);
  expect(held()).toEqual([false, true]);
  // Given back it is free at once.
  await leases[1].stop();
  await pass(limits.natsLeaseRenewMs);
  expect(held()).toEqual([true, false]);
  await leases[0].stop();
});
