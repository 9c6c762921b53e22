import { describe, expect, test } from "vitest";
import { limits } from "../../../../src/base/limits.ts";
import type { EventLog, LogHealth } from "../../../../src/log/contract.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { type NatsProcess, startNats } from "../../../support/nats.ts";
import { eventually, until } from "../../../support/until.ts";
import { event, events, readAll, runtimeScope } from "../../harness.ts";
import { freshNamespace } from "../support.ts";

function open(nats: NatsProcess, namespace: string): Promise<EventLog> {
  return openJetStreamLog({ servers: [nats.url], namespace });
}

function healthOf(log: EventLog): LogHealth[] {
  const told: LogHealth[] = [];
  log.subscribeHealth((health) => told.push(health));
  return told;
}

/** 1 MB of events that nobody else has. */
function much(n: number) {
  return Array.from({ length: 20 }, (_, i) => event("w", `${n}/${i}`.padEnd(50_000, ".")));
}

// Both wait until NATS is given up.
describe.concurrent("without NATS", () => {
  test("everything that waits is refused, nothing more is taken, and all is well once it is back", async ({
    onTestFinished,
  }) => {
    const nats = await startNats({}, onTestFinished);
    const [one, two] = [await open(nats, "n"), await open(nats, "n")];
    onTestFinished(() => Promise.all([one.close(), two.close()]).then(() => undefined));
    const told = [healthOf(one), healthOf(two)];
    const silent = healthOf(one);
    const stop = one.subscribeHealth((health) => silent.push(health));
    stop();
    await one.append({ events: events("a", 3) });
    await nats.kill();
    // More than may be on its way at once, so that some of it waits here.
    const outcomes: Promise<unknown>[] = [];
    for (let n = 0; n * 1_000_000 < limits.natsBytesInFlight + 8_000_000; n++) {
      outcomes.push(one.append({ events: much(n) }).catch((error) => error.reason));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => !one.health().available && !two.health().available, "both to say that NATS is away");
    // At once: nothing is waited for.
    let refused: unknown;
    one.append({ events: much(0) }).catch((error) => {
      refused = error.reason;
    });
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
    expect(refused).toBe("log_unavailable");
    const reasons = (await Promise.all(outcomes)) as string[];
    expect(reasons.filter((reason) => reason !== "log_unavailable")).toEqual([]);
    expect(await readAll(one)).toHaveLength(3);
    await nats.start();
    await until(() => one.health().available && two.health().available, "both to have NATS again");
    const { last } = await eventually(() => one.append({ events: events("a", 1, 4) }));
    await until(() => two.bounds(runtimeScope).head.sequence >= last.sequence, "the other to have it");
    for (const log of told) {
      // What is told each time is another one than before.
      expect(log.map(({ available }) => available)).toEqual(log.map((_, i) => i % 2 === 1));
      expect(log.at(-1)).toEqual({ available: true });
      expect(log[0]).toMatchObject({ error: { reason: "log_unavailable", message: expect.stringMatching(/NATS/) } });
    }
    expect(silent).toEqual(told[0]);
  });

  test("a log is closed in bounded time while NATS is away, or does not answer", async ({ onTestFinished }) => {
    const nats = await startNats({}, onTestFinished);
    const [away, silent] = [await open(nats, freshNamespace()), await open(nats, freshNamespace())];
    nats.pause();
    const waiting = silent.append({ events: events("a", 1) }).catch((error) => error.reason);
    await silent.close();
    expect(await waiting).toBe("log_unavailable");
    nats.resume();
    await until(() => away.health().available, "NATS to answer");
    await nats.kill();
    await until(() => !away.health().available, "the log to say that NATS is away");
    await away.close();
  });
});
