import { expect, test } from "vitest";
import { serve } from "../../support/serving.ts";
import { eventsOf, outputBytes, tailrace } from "../support.ts";

test("JSON lines become events, and the last cursor is printed", async () => {
  const { runtime, server } = await serve();
  const lines = [
    '{"narration": {"action": "clone", "message": "one"}}',
    "",
    '{"workerId": "other", "correlationId": "c", "custom": {"type": "t", "data": "AQI="}}',
    '{"narration": {"action": "clone", "message": "two"}}',
  ];
  const publish = tailrace(["publish", "--server", server.url, "--worker", "w"], { input: lines.join("\n") });
  expect(await publish.ended).toBe(0);
  expect(publish.stderr).toBe("tailrace: published 3 events\n");
  const mine = await eventsOf(runtime, "w");
  expect(mine.map(({ payload }) => payload.case)).toEqual(["workerCreated", "narration", "narration"]);
  const [, custom] = await eventsOf(runtime, "other");
  expect(custom).toMatchObject({ correlationId: "c", payload: { case: "custom", value: { type: "t" } } });
  expect(publish.stdout.toString()).toBe(`${mine.at(-1)?.cursor}\n`);
});

test("text lines become output, byte for byte", async () => {
  const { runtime, server } = await serve();
  const input = Buffer.concat([Buffer.from("eins\nzwei\r\n\n"), Buffer.from([0xff, 0xfe, 0x00]), Buffer.from("\nend")]);
  const publish = tailrace(["publish", "-q", "--text", "--server", server.url, "--worker", "w"], { input });
  expect(await publish.ended).toBe(0);
  expect(outputBytes(await eventsOf(runtime, "w"), "stdout").equals(input)).toBe(true);
  expect(publish.stderr).toBe("");
});

test("a line that makes no sense is named by its number; those before it are published", async () => {
  const { runtime, server } = await serve();
  const good = '{"narration": {"action": "a", "message": "m"}}';
  const cases: [bad: string, says: RegExp][] = [
    ["not json", /line 3: it is no JSON/],
    ['{"narration": {"acton": "a"}}', /line 3: .*acton/],
    ["{}", /line 3: it says nothing/],
    ['{"sequence": "7", "narration": {}}', /line 3: .*sequence/],
    ['{"runtimeStarted": {}}', /line 3: .*only the runtime/],
    [`{"workerId": "${"w".repeat(300)}", "narration": {}}`, /line 3: /],
  ];
  for (const [index, [bad, says]] of cases.entries()) {
    const worker = `w${index}`;
    const input = `${good}\n${good}\n`;
    const publish = tailrace(["publish", "-q", "--server", server.url, "--worker", worker]);
    publish.child.stdin?.write(input);
    publish.child.stdin?.end(`${bad}\n${good}\n`);
    expect([bad, await publish.ended]).toEqual([bad, 2]);
    expect(publish.stderr).toMatch(says);
    expect(publish.stderr).toMatch(/^tailrace: [^\n]+\n$/);
  }
  expect((await eventsOf(runtime, "w0")).map(({ payload }) => payload.case)).toEqual([
    "workerCreated",
    "narration",
    "narration",
  ]);
  const nameless = tailrace(["publish", "-q", "--server", server.url], { input: `${good}\n` });
  expect(await nameless.ended).toBe(2);
  expect(nameless.stderr).toMatch(/line 1: it names no worker/);
});

test("many lines arrive once each, in order", async () => {
  const { runtime, server } = await serve();
  const input = Array.from({ length: 30_000 }, (_, index) => `{"narration": {"action": "n", "message": "${index}"}}\n`);
  const publish = tailrace(["publish", "-q", "--server", server.url, "--worker", "w"], { input: input.join("") });
  expect(await publish.ended).toBe(0);
  const messages = (await eventsOf(runtime, "w")).flatMap(({ payload }) =>
    payload.case === "narration" ? [payload.value.message] : [],
  );
  expect(messages).toEqual(input.map((_, index) => String(index)));
});

test("a server that does not answer is exit code 4", async () => {
  const publish = tailrace(["publish", "--server", "http://127.0.0.1:9", "--worker", "w"], {
    input: '{"narration": {"action": "a", "message": "m"}}\n',
  });
  expect(await publish.ended).toBe(4);
  expect(publish.stdout.length).toBe(0);
});

test("workers are listed for people and for programs", async () => {
  const { runtime, server } = await serve();
  await runtime.worker("b").stdout("x");
  await runtime.worker("a").end({ outcome: 1, exitCode: 0 });
  const pretty = tailrace(["workers", "--server", server.url]);
  expect(await pretty.ended).toBe(0);
  expect(pretty.stdout.toString()).toMatch(
    /^WORKER +STATE +EVENTS .*\na +ended +2 .*succeeded, exit code 0\nb +\S+ +2 .*\n$/,
  );
  const json = tailrace(["workers", "--server", server.url, "--format", "json"]);
  expect(await json.ended).toBe(0);
  const workers = json.stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { workerId: string });
  expect(workers.map(({ workerId }) => workerId)).toEqual(["a", "b"]);
});
