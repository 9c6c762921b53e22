import { expect, test } from "vitest";
import type { Meta } from "../../../../src/log/jetstream/bucket/meta.ts";
import { Snapshots } from "../../../../src/log/jetstream/bucket/snapshots.ts";
import type { SnapshotCut } from "../../../../src/log/jetstream/fold/snapshot.ts";

test("a snapshot for which there is not enough room leaves nothing", async () => {
  const kept = new Set<string>();
  let room = 2;
  const full = new Error("full");
  const meta: Partial<Meta> = {
    get: async () => undefined,
    put: async (key) => {
      if (room-- === 0) throw full;
      kept.add(key);
    },
    clear: async (below) => {
      for (const key of kept) if (key.startsWith(`${below}.`)) kept.delete(key);
    },
  };
  const pieces = ["one", "two", "three"].map((text) => new TextEncoder().encode(text));
  const cut = { through: 1, pieces: () => pieces } as unknown as SnapshotCut;
  await expect(new Snapshots(meta as Meta, 1n).write(cut)).rejects.toBe(full);
  expect(room).toBe(-1);
  expect([...kept]).toEqual([]);
});
