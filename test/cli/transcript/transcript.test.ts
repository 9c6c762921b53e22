import { expect, test } from "vitest";
import { createPublisher, type NewEventInit } from "../../../src/client/index.ts";
import { conversation, take } from "../../runtime/transcripts/support.ts";
import { startServe, tailrace } from "../support.ts";

async function serveConversation(count: number) {
  const { url, process } = await startServe(["--listen", "127.0.0.1:0", "--log", "memory"]);
  const publisher = createPublisher({ baseUrl: url });
  const events = conversation("agent");
  const publish = async (count: number) => {
    for (const event of take(events, count)) void publisher.publish(event);
    await publisher.flush();
  };
  await publish(count);
  return { url, process, publisher, publish };
}

test("shows a transcript, also what is unfinished, and as JSON for programs", async () => {
  const { url, publisher } = await serveConversation(19 + 7);
  const pretty = tailrace(["transcript", "agent", "--server", url]);
  expect([await pretty.ended, pretty.stderr]).toEqual([0, ""]);
  expect(pretty.stdout.toString()).toBe(
    [
      "user       0?",
      "thinking   about 0",
      "text       é0 word 😀 and 0",
      'tool       run {"n":0}',
      "result     ok",
      "user       1?",
      "thinking   about 1",
      "text       é1 word ",
      "",
    ].join("\n"),
  );
  const json = tailrace(["transcript", "agent", "--json", "--server", url]);
  expect(await json.ended).toBe(0);
  const entries = json.stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(entries.map(({ entryNumber }) => Number(entryNumber))).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(entries.at(-1)).toMatchObject({ text: { text: "é1 word " } });
  await publisher.close();
});

test("follows a transcript until the worker ends", async () => {
  const { url, publisher, publish } = await serveConversation(19 + 7);
  const followed = tailrace(["transcript", "agent", "--follow", "--server", url]);
  await followed.until("stdout", /text {7}é1 word $/);
  await publish(4);
  await followed.until("stdout", /text {7}é1 word 😀 and 1\ntool {7}run \{"n":$/);
  await publish(7);
  await followed.until("stdout", /text {7}é1 word 😀 and 1\ntool {7}run \{"n":1\}\nresult {5}ok\n/);
  await publisher.publish({ workerId: "agent", payload: { case: "workerEnded", value: { outcome: 1 } } });
  expect([await followed.ended, followed.stderr]).toEqual([0, ""]);
  await publisher.close();
});

test("shows a call whose arguments are on their way, and the commands that run; following, how they go on", async () => {
  const { url, publisher } = await serveConversation(0);
  const publish = (payload: NonNullable<NewEventInit["payload"]>) => publisher.publish({ workerId: "agent", payload });
  await publish({ case: "toolCallStarted", value: { toolCallId: "t", name: "shell" } });
  await publish({ case: "toolCallArgumentsDelta", value: { toolCallId: "t", offset: 0n, json: '{"run": "make' } });
  await publish({ case: "commandStarted", value: { commandId: "c", command: "make all" } });
  const once = tailrace(["transcript", "agent", "--server", url]);
  expect([await once.ended, once.stderr]).toEqual([0, ""]);
  expect(once.stdout.toString()).toBe('tool       shell {"run": "make\nrunning    make all\n');
  const followed = tailrace(["transcript", "agent", "--follow", "--server", url]);
  await followed.until("stdout", /running {4}make all\n/);
  await publish({ case: "toolCallArgumentsDelta", value: { toolCallId: "t", offset: 13n, json: '"}' } });
  await followed.until("stdout", /tool {7}"\}/);
  await publish({ case: "commandEnded", value: { commandId: "c", status: 3, exitCode: 2 } });
  await followed.until("stdout", /finished {3}make all: failed, exit code 2\n/);
  await publish({ case: "workerEnded", value: { outcome: 1 } });
  expect([await followed.ended, followed.stderr]).toEqual([0, ""]);
  await publisher.close();
});

test("says what is wrong, with its exit code", async () => {
  const { url, publisher } = await serveConversation(1);
  const missing = tailrace(["transcript", "nobody", "--server", url]);
  expect([await missing.ended, missing.stderr]).toEqual([1, 'tailrace: There is no worker "nobody".\n']);
  const nothing = tailrace(["transcript"]);
  expect(await nothing.ended).toBe(2);
  expect(nothing.stderr).toContain("The worker is missing: tailrace transcript WORKER.");
  const unreachable = tailrace(["transcript", "agent", "--follow", "--server", "http://127.0.0.1:1"]);
  expect(await unreachable.ended).toBe(4);
  const stopped = tailrace(["transcript", "agent", "--follow", "--server", url]);
  await stopped.until("stdout", /user {7}0\?/);
  stopped.child.kill("SIGINT");
  expect([await stopped.ended, stopped.stderr]).toEqual([130, ""]);
  await publisher.close();
});
