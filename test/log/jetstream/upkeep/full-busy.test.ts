import { setTimeout as delay } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { ManualClock } from "../../../../src/base/clock.ts";
import { hasReason } from "../../../../src/base/errors.ts";
import type { EventLog } from "../../../../src/log/contract.ts";
import { type JetStreamLogOptions, openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { startNats } from "../../../support/nats.ts";
import { until } from "../../../support/until.ts";
import { event } from "../../harness.ts";
import { asOperator, freshNamespace } from "../support.ts";

const ageMs = 3_600_000;
const servers = 2;

/** Milliseconds for which publishers go on at a log that is full: many renewals, looks and tries. */
const busyMs = 8_000;

/** A publisher that never waits for long, whatever it is answered, until the first event that is taken once it is to end. */
class Busy {
  refused = 0;
  #ends = false;
  isDone = false;

  constructor(log: EventLog) {
    onTestFinished(() => {
      this.isDone = true;
    });
    void this.#publish(log);
  }

  /** Ends with the next event that is taken. */
  end(): void {
    this.#ends = true;
  }

  async #publish(log: EventLog): Promise<void> {
    while (!this.isDone) {
      const ends = this.#ends;
      const isTaken = await log.append({ events: [event("a", "x".repeat(30_000))] }).then(
        () => true,
        (error: unknown) => {
          if (hasReason(error, "limit_exceeded")) this.refused++;
          return false;
        },
      );
      if (isTaken && ends) this.isDone = true;
      if (!isTaken) await delay(1);
    }
  }
}

/** A log that several servers have open, on a server of NATS that is soon full. */
async function full(options: Partial<JetStreamLogOptions>) {
  setLimit("natsLookMs", 100);
  setLimit("natsSnapshotMs", 1_000);
  setLimit("natsLeaseRenewMs", 300);
  setLimit("natsFullMs", 300);
  const nats = await startNats({ storeBytes: 12 * 1024 * 1024 });
  const namespace = freshNamespace();
  const open = async (more: Partial<JetStreamLogOptions> = {}) => {
    const log = await openJetStreamLog({
      servers: [nats.url],
      namespace,
      onError: () => undefined,
      ...options,
      ...more,
    });
    onTestFinished(() => log.close());
    return log;
  };
  const reserved = () =>
    asOperator(nats.url, async (manager) => {
      const filter = { subjects_filter: `$KV.TAILRACE_${namespace}_META.reserve.>` };
      return Object.keys((await manager.streams.info(`KV_TAILRACE_${namespace}_META`, filter)).state.subjects ?? {});
    });
  const logs = await Promise.all(Array.from({ length: servers }, () => open()));
  await until(async () => (await reserved()).length === 8, "the room that is kept for looking after the log");
  const publishers = logs.flatMap((log) => Array.from({ length: 4 }, () => new Busy(log)));
  await until(() => publishers.every(({ refused }) => refused > 0), "a server of NATS that is full");
  await delay(busyMs);
  expect((await reserved()).length, "room that publishers left for looking after the log").toBeGreaterThan(0);
  return { logs, open, publishers };
}

async function goOn(publishers: readonly Busy[]): Promise<void> {
  for (const publisher of publishers) publisher.end();
  await until(() => publishers.every(({ isDone }) => isDone), "an event of every publisher to be taken again");
}

test("a server of NATS that is full of what is retained, while publishers go on trying, has room as soon as that is old", async () => {
  const clock = new ManualClock();
  const { publishers } = await full({ clock, retention: { ageMs, workerAgeMs: ageMs } });
  clock.advance(ageMs + 10_000);
  await goOn(publishers);
});

test("the same has room when all servers are started again with shorter retention", async () => {
  const { logs, open } = await full({});
  await Promise.all(logs.map((log) => log.close()));
  const retention = { events: 20 };
  const again = await Promise.all(logs.map(() => open({ retention })));
  await goOn(again.flatMap((log) => Array.from({ length: 4 }, () => new Busy(log))));
});
