import type { StreamInfo } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { resolveRetention } from "../../../../src/log/index/retention.ts";
import type { Identity } from "../../../../src/log/jetstream/bucket/identity.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { encodeHead } from "../../../../src/log/jetstream/stream/heads.ts";
import { encodeMessage } from "../../../../src/log/jetstream/stream/messages.ts";
import { writerName } from "../../../../src/log/jetstream/stream/writer-name.ts";
import { HistoryCheck } from "../../../../src/log/jetstream/upkeep/history-check.ts";

const streamCreated = "2026-01-02T03:04:05Z";
const identity = { streamCreated } as Identity;

/** A group that says nothing, of the first life of a server. */
function message(number: number, life = 0): Uint8Array {
  const writer = writerName({ server: "0c5c0d1e-6a35-4b0c-93f4-6f7c3a5c2f10", life });
  const head = encodeHead({ writer, number, timeMs: 0, appends: [] });
  return encodeMessage({ index: 1, of: 1, head, events: [] });
}

/** A server that has folded messages of a stream, and one of NATS that has them, or others. */
class World {
  readonly fold = new Fold(resolveRetention(), 0, 0);
  readonly stored: { data: Uint8Array; time: Date }[] = [];
  #told: (connected: boolean) => void = () => undefined;
  readonly check = new HistoryCheck({
    link: { subscribe: (tell: (connected: boolean) => void) => (this.#told = tell) } as never,
    quick: {
      streams: { getMessage: async (_: string, { seq }: { seq: number }) => this.stored[seq - 1] ?? null },
    } as never,
    namespace: "n",
    fold: this.fold,
  });

  store(data: Uint8Array, timeMs: number): void {
    this.stored.push({ data, time: new Date(timeMs) });
  }

  take(sequence: number, timeMs: number | undefined, payload: Uint8Array): void {
    this.fold.take({ sequence, timeMs, payload }, () => undefined);
  }

  loseConnection(): void {
    this.#told(false);
    this.#told(true);
  }

  async look(): Promise<string> {
    const state = { last_seq: this.stored.length };
    return await this.check.of({ created: streamCreated, state } as StreamInfo, identity, this.check.folded());
  }
}

/** The first message has come by the tail, and the second is only acknowledged. */
function acknowledged(): World {
  const world = new World();
  world.store(message(1), 1_000);
  world.take(1, 1_000, message(1));
  world.take(2, undefined, message(2));
  return world;
}

test("a stream that has what it acknowledged is the same, before and after it has come by the tail", async () => {
  const world = acknowledged();
  world.store(message(2), 1_010);
  expect(await world.look()).toBe("same");
  world.loseConnection();
  expect(await world.look()).toBe("same");
  world.take(2, 1_010, message(2));
  world.loseConnection();
  expect(await world.look()).toBe("same");
});

test("a stream that has something else where it acknowledged a message was restored, whatever the tail brings then", async () => {
  const world = acknowledged();
  world.loseConnection();
  world.store(message(9, 1), 5_000);
  world.store(message(10, 1), 5_001);
  world.take(2, 5_000, message(9, 1));
  world.take(3, 5_001, message(10, 1));
  expect(await world.look()).toBe("replaced");
});

test("a stream that has a message of another time where one came by the tail was restored", async () => {
  const world = acknowledged();
  world.take(2, 1_010, message(2));
  world.loseConnection();
  world.store(message(2), 5_000);
  expect(await world.look()).toBe("replaced");
});

test("a stream that does not have what it acknowledged is asked once more before it is taken for lost", async () => {
  const world = acknowledged();
  world.loseConnection();
  expect(await world.look()).toBe("short");
  expect(await world.look()).toBe("lost");
});
