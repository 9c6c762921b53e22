import { expect, test } from "vitest";
import { defaultRetention } from "../../../../src/base/limits.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { messagesOf } from "../../../../src/log/jetstream/publish/outgoing.ts";
import { eventSubject } from "../../../../src/log/jetstream/stream/subjects.ts";
import { purge } from "../../../../src/log/jetstream/upkeep/purge.ts";
import { event } from "../../harness.ts";

test("nothing is removed behind what a snapshot holds, however much of it is dead", async () => {
  const fold = new Fold({ ...defaultRetention, workerEvents: 2 }, 0, 0);
  const count = 200;
  for (let sequence = 1; sequence <= count; sequence++) {
    const head = { writer: "w", number: sequence, timeMs: 0, appends: [{ count: 1, base: 0 }] };
    const [message] = messagesOf("n", head, [event(sequence === 1 ? "kept" : "busy", "x")]);
    const payload = message?.payload as Uint8Array;
    fold.take({ sequence, timeMs: 1_700_000_000_000, payload }, () => undefined);
  }
  const purged: { readonly seq: number; readonly filter?: string }[] = [];
  const subjects = { [eventSubject("n", "kept", "")]: 1, [eventSubject("n", "busy", "")]: count - 1 };
  const manager = {
    streams: {
      info: async () => ({ state: { first_seq: 1, last_seq: count, subjects } }),
      purge: async (_stream: string, options: { readonly seq: number }) => {
        purged.push(options);
        return { purged: 0 };
      },
    },
  };
  const sweep = { run: async () => 0 };
  const through = 100;
  await purge(manager as never, "n", fold, sweep as never, through);
  expect(purged).toEqual([{ filter: eventSubject("n", "busy", ""), seq: through + 1 }]);
});
