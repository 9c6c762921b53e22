import { StorageType, type StreamConfig } from "@nats-io/jetstream";
import { expect, onTestFinished, test } from "vitest";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { streamOf, subjectsOf } from "../../../src/log/jetstream/subjects.ts";
import { natsForFile } from "../../support/nats.ts";
import { asOperator, freshNamespace } from "./support.ts";

const nats = natsForFile();

/** Opens a log whose stream an operator has made. */
async function openWith(settings: Partial<StreamConfig> & { readonly persist_mode?: string }): Promise<void> {
  const namespace = freshNamespace();
  await asOperator(nats().url, ({ streams }) =>
    streams.add({
      name: streamOf(namespace),
      subjects: [subjectsOf(namespace)],
      storage: StorageType.File,
      discard: "new",
      allow_direct: true,
      ...({ allow_atomic: true } as object),
      ...settings,
    } as StreamConfig & { name: string }),
  );
  const log = await openJetStreamLog({ servers: [nats().url], namespace });
  onTestFinished(() => log.close());
}

test("a stream that others made is taken if a log can be in it", async () => {
  await openWith({});
  await openWith({ max_msg_size: 1024 * 1024 });
  const cases = [
    [{ max_msg_size: 1024 * 1024 - 1 }, "max_msg_size is 1048575 instead of -1"],
    [{ deny_delete: true }, "deny_delete is true instead of false"],
    [{ deny_purge: true }, "deny_purge is true instead of false"],
    // The server takes it only without atomic batches.
    [{ persist_mode: "async", allow_atomic: false }, 'persist_mode is "async" instead of "default"'],
  ] as const;
  for (const [settings, says] of cases) {
    await expect(openWith(settings), says).rejects.toMatchObject({
      reason: "log_open_failed",
      details: { cause: "other_configuration" },
      message: expect.stringContaining(says),
    });
  }
});
