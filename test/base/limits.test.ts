import { describe, expect, test } from "vitest";
import { limits } from "../../src/base/limits.ts";

/** After which a write that NATS does not acknowledge is given up. */
const writeMs = limits.natsAcknowledgeMs + limits.natsLateMs;

/** After which another server looks after the stream, at the latest. */
const keeperMs = limits.natsLeaseMs + 2 * limits.natsLeaseRenewMs;

/** docs/adr/0010-jetstream.md, "Who is away", says what each of them is for. */
describe("the times of an outage fit each other", () => {
  test("a lease outlives a renewal that failed", () => {
    expect(2 * limits.natsLeaseRenewMs).toBeLessThan(limits.natsLeaseMs);
  });

  test("a server is not lost for one beat that was lost on its way", () => {
    const silentMs = limits.serverPresenceMs + writeMs + limits.jobRetryAfterMs;
    expect(silentMs).toBeLessThan((limits.serverLostBeats - 1) * limits.serverPresenceMs);
  });

  test("what becomes of a write is known before a log that closes stops waiting, and a caller does", () => {
    expect(writeMs).toBeLessThan(limits.natsCloseMs);
    expect(writeMs).toBeLessThan(limits.natsComeBackMs);
    expect(limits.natsComeBackMs).toBeLessThan(limits.requestTimeoutMs);
  });

  test("a client hears that a server is behind before it gives up on it", () => {
    expect(limits.natsReachMs).toBeLessThan(limits.connectTimeoutMs);
    expect(limits.natsAnswerMs).toBeLessThan(limits.requestTimeoutMs);
  });

  test("a watch stays for as long as it takes NATS to elect a leader, and is told before it ends", () => {
    const unusedMs = [limits.natsAwayMs, limits.natsSilentMs, limits.natsRefusedMs, limits.natsStuckMs];
    for (const ms of [...unusedMs, limits.logRetryMs, limits.logNoticeMs]) {
      expect(2 * ms).toBeLessThan(limits.logUnavailableMs);
    }
  });

  test("what is said of writes or the tail is seen more than once before, and no sooner than a leader is missed", () => {
    expect(2 * limits.natsProbeMs).toBeLessThan(limits.natsRefusedMs);
    expect(2 * limits.natsLookMs).toBeLessThan(limits.natsStuckMs);
    expect(limits.natsRefusedMs).toBeGreaterThanOrEqual(limits.natsSilentMs);
    expect(limits.natsStuckMs).toBeGreaterThanOrEqual(limits.natsSilentMs);
  });

  test("who asks for something of a job is told before it gives up", () => {
    expect(limits.jobAnswerMs + writeMs).toBeLessThan(limits.requestTimeoutMs);
  });

  test("nothing is purged under those that wait for the log or for a keeper", () => {
    expect(limits.logUnavailableMs).toBeLessThan(limits.natsPurgeAfterMs);
    expect(keeperMs).toBeLessThan(limits.natsPurgeAfterMs);
  });
});
