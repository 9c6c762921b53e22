import { expect, test } from "vitest";
import { defaultRetention } from "../../../../src/base/limits.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { messagesOf } from "../../../../src/log/jetstream/publish/outgoing.ts";
import { eventSubject } from "../../../../src/log/jetstream/stream/subjects.ts";
import { purge } from "../../../../src/log/jetstream/upkeep/purge.ts";
import { event } from "../../harness.ts";

const count = 200;

/** A server that has folded so many messages, all but the first of one worker, and a stream that may have more. */
function world(streamed = count) {
  const fold = new Fold({ ...defaultRetention, workerEvents: 2 }, 0, 0);
  for (let sequence = 1; sequence <= count; sequence++) {
    const head = { writer: "w", number: sequence, timeMs: 0, appends: [{ count: 1, base: 0 }] };
    const [message] = messagesOf("n", head, [event(sequence === 1 ? "kept" : "busy", "x")]);
    const payload = message?.payload as Uint8Array;
    fold.take({ sequence, timeMs: 1_700_000_000_000, payload }, () => undefined);
  }
  const purged: { readonly seq: number; readonly filter?: string }[] = [];
  const subjects = { [eventSubject("n", "kept", "")]: 1, [eventSubject("n", "busy", "")]: streamed - 1 };
  const manager = {
    streams: {
      info: async () => ({ state: { first_seq: 1, last_seq: streamed, subjects } }),
      purge: async (_stream: string, options: { readonly seq: number }) => {
        purged.push(options);
        return { purged: 0 };
      },
    },
  };
  const swept: number[] = [];
  const sweep = {
    run: async (_fold: Fold, _first: number, through: number) => {
      swept.push(through);
      return 0;
    },
  };
  const run = (through: number) => purge(manager as never, "n", fold, sweep as never, through);
  return { run, purged, swept };
}

test("nothing is removed behind what a snapshot holds, however much of it is dead", async () => {
  const { run, purged } = world();
  const through = 100;
  await run(through);
  expect(purged).toEqual([{ filter: eventSubject("n", "busy", ""), seq: through + 1 }]);
});

test("nothing is removed that this server has not folded, though another one's snapshot holds it", async () => {
  const { run, purged, swept } = world(count + 100);
  await run(count + 50);
  // Of the last two that this server knows something is retained. Whether of those behind, it can't know.
  expect(purged).toEqual([{ filter: eventSubject("n", "busy", ""), seq: count - 1 }]);
  expect(swept).toEqual([count]);
});

test("nothing is removed by a server that has nothing retained and is behind", async () => {
  const purged: unknown[] = [];
  const streams = {
    info: async () => ({ state: { first_seq: 1, last_seq: 10, subjects: {} } }),
    purge: async (...asked: unknown[]) => {
      purged.push(asked);
      return { purged: 0 };
    },
  };
  const fold = new Fold(defaultRetention, 0, 0);
  await purge({ streams } as never, "n", fold, { run: async () => 0 } as never, 10);
  expect(purged).toEqual([]);
});
