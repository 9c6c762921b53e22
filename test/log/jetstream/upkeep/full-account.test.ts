import { expect, onTestFinished, test } from "vitest";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { natsForFile } from "../../../support/nats.ts";
import { eventually } from "../../../support/until.ts";
import { event } from "../../harness.ts";
import { freshNamespace } from "../support.ts";

const nats = natsForFile({
  config: [
    "accounts { F { jetstream: { max_mem: 0, max_file: 20000000, max_streams: 4 }, users: [{ user: f, password: x }] } }",
    "no_auth_user: f",
  ],
});

test("an append of several messages for which an account has no room is refused as a single one is", async () => {
  setLimit("natsFullMs", 50);
  const log = await openJetStreamLog({ servers: [nats().url], namespace: freshNamespace() });
  onTestFinished(() => log.close());
  const append = (...bytes: readonly number[]) =>
    log.append({ events: bytes.map((count) => event("a", "x".repeat(count))) });
  const full = { reason: "limit_exceeded", details: { limit: "storage" } };
  const fill = async () => {
    for (;;) await append(100_000);
  };
  await expect(fill()).rejects.toMatchObject(full);
  // What is small has room, so nobody holds back what is large.
  await eventually(() => append(1));
  // Of two messages, of which only the second has room: what is said of that one is that the first is missing.
  await expect(append(515_000, 12_000)).rejects.toMatchObject(full);
  expect(log.health()).toEqual({ available: true });
});
