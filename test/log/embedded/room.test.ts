import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scratchDirectory } from "../../support/scratch.ts";

const source = new URL("../../../src/log/embedded/index.ts", import.meta.url).href;
const harness = new URL("../harness.ts", import.meta.url).href;

/** Runs a program with a small file system of its own at `mount`, and gives what it printed as JSON. */
function withOwnFileSystem(mount: string, options: string, program: string): unknown {
  mkdirSync(mount, { recursive: true });
  const file = join(mount, "..", "program.ts");
  writeFileSync(
    file,
    `import { openEmbeddedLog } from ${JSON.stringify(source)};\nimport { events, readAll, texts } from ${JSON.stringify(harness)};\nimport { execFileSync } from "node:child_process";\nimport { rmSync, writeFileSync } from "node:fs";\nconst mount = ${JSON.stringify(mount)};\n${program}`,
  );
  const script = `mount -t tmpfs -o ${options} tmpfs "$1" && exec "$2" "$3"`;
  const { status, stdout, stderr } = spawnSync(
    "unshare",
    ["-m", "sh", "-c", script, "sh", mount, process.execPath, file],
    {
      encoding: "utf8",
    },
  );
  if (status !== 0) {
    throw new Error(
      `This test needs a file system of its own: unshare (util-linux) and the right to mount (root, or a user namespace). It ended with ${status}: ${stderr}`,
    );
  }
  return JSON.parse(stdout);
}

test("a disk that fills up refuses appends, keeps what was acknowledged, and goes on when there is room", () => {
  const mount = join(scratchDirectory(), "disk");
  const found = withOwnFileSystem(
    mount,
    "size=2m",
    `const directory = mount + "/data";
    writeFileSync(mount + "/ballast", new Uint8Array(1024 * 1024));
    let log = await openEmbeddedLog({ directory });
    let acknowledged = 0;
    let refusal;
    while (refusal === undefined) {
      await log.append({ events: events("a", 500, acknowledged + 1) }).then(
        () => { acknowledged += 500; },
        (error) => { refusal = error; },
      );
    }
    const health = log.health();
    const readable = (await readAll(log)).length;
    rmSync(mount + "/ballast");
    await log.append({ events: events("a", 500, acknowledged + 1) });
    const healthAfter = log.health();
    await log.close();
    log = await openEmbeddedLog({ directory });
    const seen = texts(await readAll(log));
    await log.close();
    console.log(JSON.stringify({
      reason: refusal.reason, limit: refusal.details.limit, namesPlace: refusal.message.includes(mount),
      available: health.available, acknowledged, readable, availableAfter: healthAfter.available,
      last: seen.at(-1), count: seen.length,
    }));`,
  ) as { acknowledged: number };
  expect(found.acknowledged).toBeGreaterThan(0);
  expect(found).toEqual({
    reason: "limit_exceeded",
    limit: "storage",
    namesPlace: false,
    available: false,
    acknowledged: found.acknowledged,
    readable: found.acknowledged,
    availableAfter: true,
    last: `a:${found.acknowledged + 500}`,
    count: found.acknowledged + 500,
  });
});

const tryOpen = `const directory = mount + "/data";
  const error = await openEmbeddedLog({ directory }).then((log) => log.close(), (error) => error);
  console.log(JSON.stringify({ reason: error?.reason, cause: error?.details.cause, message: error?.message }));`;

test("a disk without room for a new log is said so", () => {
  const mount = join(scratchDirectory(), "disk");
  const found = withOwnFileSystem(
    mount,
    "size=64k",
    `try { writeFileSync(mount + "/ballast", new Uint8Array(1024 * 1024)); } catch { /* as much as fits */ }\n${tryOpen}`,
  );
  expect(found).toMatchObject({ reason: "log_open_failed", cause: "full", message: expect.stringContaining(mount) });
});

test("a directory that can't be written to is said so, for a new log and for one that is there", () => {
  const mount = join(scratchDirectory(), "disk");
  const readOnly = `execFileSync("mount", ["-o", "remount,ro", mount]);`;
  const none = withOwnFileSystem(mount, "size=4m", `${readOnly}\n${tryOpen}`);
  const some = withOwnFileSystem(
    mount,
    "size=4m",
    `const log = await openEmbeddedLog({ directory: mount + "/data" });
    await log.append({ events: events("a", 3) });
    await log.close();
    ${readOnly}
    ${tryOpen}`,
  );
  for (const found of [none, some]) {
    expect(found).toMatchObject({
      reason: "log_open_failed",
      cause: "read_only",
      message: expect.stringContaining(mount),
    });
  }
});
