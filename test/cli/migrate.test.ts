import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { EventLog } from "../../src/log/contract.ts";
import { openEmbeddedLog } from "../../src/log/embedded/index.ts";
import { openJetStreamLog } from "../../src/log/jetstream/index.ts";
import { MemoryLog } from "../../src/log/memory/index.ts";
import { CopyClock, copyLog } from "../../src/runtime/migration/copy-log.ts";
import { events } from "../log/harness.ts";
import { startNats, startNatsCluster } from "../support/nats.ts";
import { readPage } from "../support/pages.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { shell, startServe, tailrace } from "./support.ts";

function listEvents(url: string, request: object): Promise<Response> {
  return fetch(`${url}/tailrace.v1.EventStreamService/ListEvents`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ workerIds: ["w"], ...request }),
  });
}

/** What a server shows of worker w, but for numbers and positions of its log; and its last cursor. */
async function shown(args: readonly string[]) {
  const { process, url } = await startServe(["--listen", "127.0.0.1:0", ...args]);
  const answer = await listEvents(url, {});
  const { events, cursor } = (await answer.json()) as { events: Record<string, unknown>[]; cursor: string };
  const content = events.map(({ sequence, workerSequence, cursor, ...rest }) => rest);
  return { content, cursor, url, stop: () => stop(process) };
}

async function stop(process: Awaited<ReturnType<typeof startServe>>["process"]): Promise<void> {
  process.child.kill("SIGTERM");
  expect(await process.ended).toBe(0);
}

test("a log goes into NATS and back with its events in order and their times, and old cursors are unknown", async () => {
  const nats = await startNats();
  const [from, back] = [join(scratchDirectory(), "from"), join(scratchDirectory(), "back")];
  const inNats = ["--log", nats.url, "--namespace", "moved"];
  const first = await startServe(["--listen", "127.0.0.1:0", "--data", from]);
  const input = Array.from({ length: 500 }, (_, i) => `line ${i}\n`).join("");
  for (const worker of ["w", "v"]) {
    const publish = tailrace(["publish", "-q", "--server", first.url, "--worker", worker, "--text"], { input });
    expect(await publish.ended).toBe(0);
  }
  await stop(first.process);

  const before = await shown(["--data", from]);
  expect(before.content.length).toBeGreaterThan(1);
  await before.stop();
  const into = tailrace(["migrate", "--from", from, "--to", nats.url, "--namespace", "moved"]);
  expect([await into.ended, into.stderr]).toEqual([0, expect.stringMatching(/^tailrace: copied \d+ events\. Cursors/)]);

  const during = await shown(inNats);
  expect(during.content).toEqual(before.content);
  const served = tailrace(["migrate", "--from", nats.url, "--namespace", "moved", "--to", back]);
  expect([await served.ended, served.stderr]).toEqual([
    2,
    expect.stringMatching(/--from: The log has a server that runs/),
  ]);
  const old = await listEvents(during.url, { cursor: before.cursor });
  expect([old.status, await old.text()]).toEqual([400, expect.stringContaining("cursorUnknown")]);
  await during.stop();

  const again = tailrace(["migrate", "--from", from, "--to", nats.url, "--namespace", "moved"]);
  expect([await again.ended, again.stderr]).toEqual([2, expect.stringMatching(/--to: The log is not empty/)]);

  const out = tailrace(["migrate", "--from", nats.url, "--namespace", "moved", "--to", back]);
  expect([await out.ended, out.stderr]).toEqual([0, expect.stringMatching(/copied \d+ events/)]);
  const after = await shown(["--data", back]);
  expect(after.content).toEqual(before.content);
  await after.stop();
});

test("the lines of the guide, and of the help, move a log into a cluster and back", async () => {
  const cluster = await startNatsCluster();
  const help = tailrace(["migrate", "--help"]);
  expect(await help.ended).toBe(0);
  const guide = [...readPage("docs/guides/scaling.md").matchAll(/^tailrace migrate .*$/gm)].map(([line]) => line);
  const helped = [...help.stdout.toString().matchAll(/^ +(tailrace migrate --.*?)(?: {2}.*)?$/gm)].map(
    ([, line]) => line,
  );
  for (const [i, lines] of [guide, helped].entries()) {
    expect(lines).toHaveLength(2);
    const cwd = scratchDirectory();
    await stop((await startServe(["--listen", "127.0.0.1:0", "--data", join(cwd, "tailrace-data")])).process);
    for (const line of lines) {
      const own = String(line)
        .replace("nats://10.0.0.1", `nats://${cluster.urls.map((url) => new URL(url).host).join(",")}`)
        .replace("--namespace build", `--namespace build${i}`)
        .replace("--to ./tailrace-data", "--to ./back");
      const moved = shell(own, { cwd });
      expect([own, await moved.ended, moved.stderr]).toEqual([own, 0, expect.stringMatching(/^tailrace: copied \d+ /)]);
    }
  }
});

test("a log in NATS that is not there is not made by asking for it", async () => {
  const nats = await startNats();
  const args = ["migrate", "--from", nats.url, "--namespace", "typo", "--to", join(scratchDirectory(), "to")];
  for (let i = 0; i < 2; i++) {
    const copy = tailrace(args);
    expect([await copy.ended, copy.stderr]).toEqual([1, expect.stringMatching(/There is no log typo in NATS at /)]);
  }
});

test("a copy that was not finished is served by nobody, and copied neither to nor from", async () => {
  const nats = await startNats();
  const [from, half] = [join(scratchDirectory(), "from"), join(scratchDirectory(), "half")];
  const source = new MemoryLog();
  for (let i = 0; i < 3; i++) await source.append({ events: events("w", 10) });
  // As one that is killed leaves it: nothing is said any more once it is begun.
  const stopIn = async (target: EventLog, clock: CopyClock, place: string) => {
    const stop = new AbortController();
    const onProgress = () => stop.abort();
    const copy = copyLog({ source, target, clock, place, signal: stop.signal, onProgress });
    await expect(copy).rejects.toMatchObject({ name: "AbortError" });
    expect(target.bounds({ kind: "runtime" }).head.ordinal).toBeGreaterThan(0);
    await target.close();
  };
  const clocks = [new CopyClock(), new CopyClock()] as const;
  await stopIn(await openEmbeddedLog({ directory: half, clock: clocks[0] }), clocks[0], "the directory HALF");
  const inNats = await openJetStreamLog({ servers: [nats.url], namespace: "half", clock: clocks[1] });
  await stopIn(inNats, clocks[1], "the streams HALF");
  await stop((await startServe(["--listen", "127.0.0.1:0", "--data", from])).process);

  const toNats = ["--to", nats.url, "--namespace", "half"];
  const cases: [args: readonly string[], code: number, says: RegExp][] = [
    [
      ["serve", "--listen", "127.0.0.1:0", "--data", half],
      1,
      /not whole: .* delete the directory HALF and copy again\.\n$/,
    ],
    [
      ["serve", "--listen", "127.0.0.1:0", "--log", nats.url, "--namespace", "half"],
      1,
      /not whole: .* the streams HALF/,
    ],
    [["migrate", "--from", from, ...toNats], 1, /not whole: .* delete the streams HALF and copy again\.\n$/],
    [["migrate", "--from", from, "--to", half], 2, /is not empty\. Name a new directory, or delete this one/],
    [["migrate", "--from", half, ...toNats], 1, /not whole: .* the directory HALF/],
    [["migrate", "--from", nats.url, "--namespace", "half", "--to", `${half}-2`], 1, /not whole: .* the streams HALF/],
  ];
  for (const [args, code, says] of cases) {
    const command = tailrace(args);
    // What is served after all is so for ever.
    const serves = command.until("stdout", /^tailrace ready/m).then(
      () => "serves",
      () => command.ended,
    );
    const end = await Promise.race([command.ended, serves]);
    expect([args, end, command.stderr]).toEqual([args, code, expect.stringMatching(says)]);
  }
});

test("a log that another runtime has opened is not copied to: who has an old cursor could not go on behind a gap", async () => {
  const nats = await startNats();
  const from = join(scratchDirectory(), "from");
  await stop((await startServe(["--listen", "127.0.0.1:0", "--data", from])).process);
  const other = await openJetStreamLog({ servers: [nats.url], namespace: "other" });
  await other.close();
  const into = tailrace(["migrate", "--from", from, "--to", nats.url, "--namespace", "other"]);
  expect([await into.ended, into.stderr]).toEqual([
    2,
    expect.stringMatching(/--to: The log is that of another runtime. Delete the streams TAILRACE_other and /),
  ]);
});

test("what can't be copied is said", async () => {
  const [log, used] = [join(scratchDirectory(), "log"), scratchDirectory()];
  writeFileSync(join(used, "file"), "");
  const serving = await startServe(["--listen", "127.0.0.1:0", "--data", log]);
  const fresh = join(scratchDirectory(), "fresh");
  mkdirSync(fresh);
  const cases: [args: readonly string[], code: number, says: RegExp][] = [
    [["--from", log], 2, /--to: Name the log to copy to\./],
    [["--to", log], 2, /--from: Name the log to copy\./],
    [["--from", join(fresh, "none"), "--to", fresh], 2, /--from: There is no log in /],
    [["--from", log, "--to", used], 2, /--to: .* is not empty\. Name a new directory/],
    [["--from", log, "--to", fresh], 1, /is open already/],
    [["--from", used, "--to", fresh], 1, /is no log: it holds "file"/],
    [["--from", log, "--to", "nats://127.0.0.1:1"], 2, /--namespace/],
  ];
  for (const [args, code, says] of cases) {
    const migrate = tailrace(["migrate", ...args]);
    expect([args, await migrate.ended]).toEqual([args, code]);
    expect(migrate.stderr).toMatch(says);
  }
  await stop(serving.process);
  const into = tailrace(["migrate", "--from", log, "--to", "nats://127.0.0.1:1", "--namespace", "n"]);
  expect([await into.ended, into.stderr]).toEqual([
    1,
    expect.stringMatching(/No NATS server answers at 127\.0\.0\.1:1/),
  ]);
});
