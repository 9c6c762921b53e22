import { expect, test } from "vitest";
import { limits } from "../../../../src/base/limits.ts";
import { beyondWall } from "../../../../src/log/jetstream/stream/wall.ts";

const wall = 500_000;

/** The limits that a stream with so many bytes is given while something is done beyond its own, and after that. */
async function raised(bytes: number): Promise<{ readonly meanwhile: number; readonly after: number }> {
  let config: { max_bytes: number; metadata?: Record<string, string> } = { max_bytes: wall };
  const streams = {
    info: async () => ({ config, state: { bytes } }),
    update: async (_name: string, update: typeof config) => {
      config = { ...config, ...update };
    },
  };
  let meanwhile = 0;
  await beyondWall({ streams } as never, "n", async () => {
    meanwhile = config.max_bytes;
  });
  return { meanwhile, after: config.max_bytes };
}

test("a limit is raised so that something can be said, also where publishers took all of that before, and lowered", async () => {
  expect(await raised(wall)).toEqual({ meanwhile: wall + limits.natsReserveBytes, after: wall });
  // Else nothing would ever be removed again.
  const bytes = wall + limits.natsReserveBytes;
  const { meanwhile, after } = await raised(bytes);
  expect(meanwhile).toBeGreaterThan(bytes);
  expect(after).toBe(wall);
});
