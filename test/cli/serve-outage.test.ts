import { once } from "node:events";
import { cpSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type WatchStatus, watch } from "../../src/client/index.ts";
import { streamOf, subjectsOf } from "../../src/log/jetstream/stream/subjects.ts";
import { edges, rpcEdges } from "../conformance/edges/index.ts";
import { resumeFrom, view } from "../conformance/viewer.ts";
import { asOperator, deleteStream } from "../log/jetstream/support.ts";
import { type NatsProcess, startNats } from "../support/nats.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { stablePort } from "../support/stable-port.ts";
import { eventually, until } from "../support/until.ts";
import { startServe, tailrace } from "./support.ts";

const namespace = "served";

/** What a server says of itself, without a stack of anything. */
const lines = /^(tailrace: [^\n]+\n)*$/;

function serveArgs(nats: NatsProcess, port: number): string[] {
  return ["--log", nats.url, "--namespace", namespace, "--listen", `127.0.0.1:${port}`];
}

/** Publishes one event per id, which is its correlation id. */
async function publish(url: string, ids: readonly string[]): Promise<void> {
  const input = ids
    .map((id) => `${JSON.stringify({ workerId: "w", jobId: "", correlationId: id, custom: { type: "test" } })}\n`)
    .join("");
  const publishing = tailrace(["publish", "-q", "--server", url], { input });
  expect([await publishing.ended, publishing.stderr]).toEqual([0, ""]);
}

test("SIGTERM ends a server in order while its log is still being opened", async () => {
  // Takes a connection and says nothing, as NATS that hangs.
  const silent = createServer((socket) => socket.on("error", () => undefined));
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  onTestFinished(() => void silent.close());
  const asked = once(silent, "connection");
  const { port } = silent.address() as AddressInfo;
  const serve = tailrace(["serve", "--log", `nats://127.0.0.1:${port}`, "--namespace", "n", "--listen", "127.0.0.1:0"]);
  await asked;
  serve.child.kill("SIGTERM");
  expect([await serve.ended, serve.stderr, serve.stdout.toString()]).toEqual([0, "", ""]);
});

test.each([
  ["is away", (nats: NatsProcess) => nats.kill()],
  ["does not answer", async (nats: NatsProcess) => nats.pause()],
])("SIGTERM ends a server in order while NATS %s, with an ordinary end for its watchers", async (_, fail) => {
  const nats = await startNats();
  const { process, url } = await startServe(serveArgs(nats, 0));
  await publish(url, ["1"]);
  const viewers = await Promise.all(edges.map((edge) => view(edge, url).live()));
  await fail(nats);
  process.child.kill("SIGTERM");
  for (const viewer of viewers) {
    await viewer.end();
    expect(viewer.terminal?.reason.case).toBe("serverClosing");
  }
  // It would be 1, and a sentence, if the log had to be left behind.
  expect(await process.ended).toBe(0);
  expect(process.stderr).toMatch(lines);
  nats.resume();
});

test("a server whose stream takes no events says so once, and is not ready until it does; who watches hears nothing of it", async () => {
  const nats = await startNats();
  const { process, url } = await startServe(serveArgs(nats, 0));
  await publish(url, ["1"]);
  const viewer = await view(edges[0] as (typeof edges)[number], url).live();
  const take = (...subjects: string[]) =>
    asOperator(nats.url, (manager) => manager.streams.update(streamOf(namespace), { subjects }));
  // Where it keeps its own state, it is heard.
  await take(`tailrace.${namespace}.c`);
  const reasons = async () => {
    const answer = await fetch(`${url}/readyz`);
    return ((await answer.json()) as { reasons: { message: string }[] }).reasons.map(({ message }) => message);
  };
  const sentence = "NATS does not take what is written to the log: there is no stream that takes it.";
  const refused = tailrace(["publish", "-q", "--server", url, "--worker", "w", "--text"], { input: "2" });
  await eventually(async () => expect(await reasons()).toEqual([sentence]));
  refused.child.kill();
  await take(subjectsOf(namespace));
  await eventually(async () => expect(await reasons()).toEqual([]));
  await process.until("stderr", /tailrace: the log can be used again\n/);
  await publish(url, ["3"]);
  while (!viewer.ids.includes("3")) await viewer.find("events");
  expect(viewer.diagnostics.filter(({ message }) => message === sentence)).toEqual([]);
  expect(process.stderr.split(sentence)).toHaveLength(2);
});

/** Keeps what the stream of a namespace is now, and gives how to put it in the place of what it is later. */
async function backUp(nats: NatsProcess): Promise<() => Promise<void>> {
  const backup = join(scratchDirectory(), "backup");
  const stored = join(nats.storeDirectory, "jetstream", "$G", "streams", streamOf(namespace));
  await nats.stop();
  cpSync(stored, backup, { recursive: true });
  await nats.start();
  return async () => {
    await nats.stop();
    rmSync(stored, { recursive: true });
    cpSync(backup, stored, { recursive: true });
    await nats.start();
  };
}

test.each([
  ["is deleted", false],
  ["is restored from an older backup", true],
])(
  "a server whose stream %s ends with 1; after the supervisor has started it again no reader is told wrong data",
  async (_, restores) => {
    const nats = await startNats();
    const args = serveArgs(nats, await stablePort());
    const { process, url } = await startServe(args);
    await publish(url, ["1", "2"]);
    const restore = restores ? await backUp(nats) : () => deleteStream(nats.url, namespace);
    await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200));
    await publish(url, ["3", "4", "5"]);

    const seen: string[] = [];
    const statuses: WatchStatus[] = [];
    const watched = watch({
      baseUrl: url,
      workerIds: ["w"],
      backoff: { initialMs: 10, maxMs: 100 },
      onStatus: (status) => statuses.push(status),
    });
    const ending = (async () => {
      for await (const { correlationId } of watched) seen.push(correlationId);
    })().catch((error) => error);
    await until(() => statuses.some(({ kind }) => kind === "caught_up"), "the watch to be live");
    const cursor = watched.cursor as string;

    await restore();
    expect(await process.ended).toBe(1);
    expect(process.stderr).toMatch(lines);
    expect(process.stderr).toMatch(/Start the server again/);
    await until(() => statuses.some(({ kind }) => kind === "reconnecting"), "the watch to come back");

    const again = await startServe(args);
    expect(again.url).toBe(url);
    expect(await ending).toMatchObject({ reason: "cursor_unknown", details: { cause: "other_generation" } });
    expect(seen.filter((id) => id !== "")).toEqual(["1", "2", "3", "4", "5"]);
    await publish(url, ["new"]);
    const held = restores ? ["1", "2", "new"] : ["new"];
    for (const edge of edges) {
      const refused = view(edge, url, resumeFrom(cursor, { workerIds: ["w"] }));
      const ended = await refused.end();
      expect(refused.events).toEqual([]);
      expect(ended.detail?.reason.case).toBe("cursorUnknown");
      expect(ended).toMatchObject(
        rpcEdges.some(({ name }) => name === edge.name) ? { code: "failed_precondition" } : { status: 409 },
      );
      const anew = await view(edge, url, { workerIds: ["w"] }).live();
      expect(anew.ids).toEqual(held);
    }
  },
);
