import { expect, test } from "vitest";
import { defaultRetention } from "../../../../src/base/limits.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { messagesOf } from "../../../../src/log/jetstream/publish/outgoing.ts";
import type { GroupHead } from "../../../../src/log/jetstream/stream/heads.ts";
import { Losses } from "../../../../src/log/jetstream/upkeep/losses.ts";
import { event } from "../../harness.ts";

test("what retention has removed, as a server that is behind has yet to hear, is not reported as lost", async () => {
  const fold = new Fold(defaultRetention, 0, 0);
  let sequence = 0;
  const write = (head: Partial<GroupHead>): void => {
    const whole: GroupHead = { writer: "w", number: sequence, timeMs: 0, appends: [], ...head };
    const events = whole.appends.map(() => event("a", "x"));
    const payload = messagesOf("n", whole, events)[0]?.payload as Uint8Array;
    fold.take({ sequence: ++sequence, timeMs: 1_700_000_000_000, payload }, () => undefined);
  };
  for (let i = 0; i < 3; i++) write({ appends: [{ count: 1, base: 0 }] });
  let unheard: Partial<GroupHead> | undefined = {
    keeper: { id: "k", role: "takes" },
    retention: { ...defaultRetention, workerEvents: 1 },
    trimsAll: true,
  };
  const reported: unknown[] = [];
  const losses = new Losses({
    manager: {} as never,
    namespace: "n",
    fold,
    publisher: { control: async (control: unknown) => void reported.push(control) } as never,
    caughtUp: async () => {
      if (unheard !== undefined) write(unheard);
      unheard = undefined;
    },
  });
  expect(await losses.report({ from: 1, before: 3 })).toBe(false);
  expect(reported).toEqual([]);
  // And what it has not removed is.
  expect(await losses.report({ from: 1, before: 4 })).toBe(true);
  expect(reported).toEqual([{ lost: [{ isJob: false, id: "a", sequence: 3 }] }]);
});
