import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scratchDirectory } from "../../support/scratch.ts";
import { stablePort } from "../../support/stable-port.ts";
import { startServe, tailrace } from "../support.ts";
import { bash, serveOperations } from "./support.ts";

interface JsonEvent {
  readonly workerId?: string;
  readonly jobId?: string;
  readonly correlationId?: string;
  readonly narration?: { readonly action: string; readonly message: string; readonly level?: string };
  readonly progress?: unknown;
  readonly custom?: { readonly type: string };
}

function eventsIn(output: Buffer): JsonEvent[] {
  return output
    .toString()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as JsonEvent);
}

test("a script in a job says things without an id, with its levels and fields, and tells its progress", async () => {
  const script = `
    narrate() { "$NODE" "$TAILRACE" narrate "$@"; }
    narrate "plain words" and more
    narrate --action clone --level warn --actor git --target repo "$(printf 'two\\nlines [DONE] data: x')"
    narrate --done 1.5 --total 3 --unit MB --task fetch "halfway"
    # A child of a child is in the job as well.
    bash -c '"$NODE" "$TAILRACE" narrate "from below"'`;
  const { url } = await serveOperations({ talk: bash(script) });
  const talk = tailrace(["submit", "--server", url, "talk", "--json", "--worker", "w", "--correlation", "c"]);
  expect([await talk.ended, talk.stderr]).toEqual([0, ""]);
  const events = eventsIn(talk.stdout);
  const said = events.filter(
    ({ narration, progress }) => progress !== undefined || !/^execute/.test(narration?.action ?? "execute"),
  );
  const [{ jobId } = {}] = events;
  const ids = { jobId, workerId: "w", correlationId: "c" };
  expect(said).toMatchObject([
    { ...ids, narration: { action: "log", message: "plain words and more", level: "NARRATION_LEVEL_INFO" } },
    {
      ...ids,
      narration: {
        action: "clone",
        message: "two\nlines [DONE] data: x",
        level: "NARRATION_LEVEL_WARN",
        actor: "git",
        target: "repo",
      },
    },
    { ...ids, progress: { task: "fetch", done: 1.5, total: 3, unit: "MB", message: "halfway" } },
    { ...ids, narration: { message: "from below" } },
  ]);
});

test("a program in any language publishes for its job by HTTP, for no other, and only while the job runs", async () => {
  const cwd = scratchDirectory();
  const script = `
    publish() { # FILE EVENT
      curl -s -o "$1" "$TAILRACE_SERVER/tailrace.v1.PublisherService/PublishEvents" \\
        -H "authorization: Bearer $TAILRACE_JOB_TOKEN" -H "content-type: application/json" -d "{\\"events\\": [$2]}"
    }
    publish own '{"custom": {"type": "com.example.step", "data": "e30="}}'
    publish job '{"jobId": "another", "narration": {"action": "a", "message": "forged"}}'
    publish worker '{"workerId": "another", "narration": {"action": "a", "message": "forged"}}'
    publish state '{"jobStateChanged": {"state": "JOB_STATE_SUCCEEDED"}}'
    env | grep ^TAILRACE_ > env`;
  const { url } = await serveOperations({ talk: bash(script, { cwd }) });
  const talk = tailrace(["submit", "--server", url, "talk", "--json"]);
  expect([await talk.ended, talk.stderr]).toEqual([0, ""]);
  const events = eventsIn(talk.stdout);
  expect(events.filter(({ custom }) => custom?.type === "com.example.step")).toMatchObject([
    { jobId: events[0]?.jobId },
  ]);
  expect(talk.stdout.toString()).not.toContain("forged");
  const answer = (name: string) => readFileSync(join(cwd, name), "utf8");
  expect(JSON.parse(answer("own"))).toHaveProperty("cursor");
  expect(JSON.parse(answer("job"))).toMatchObject({ code: "permission_denied" });
  expect(JSON.parse(answer("worker"))).toMatchObject({ code: "permission_denied" });
  expect(JSON.parse(answer("state"))).toMatchObject({ code: "invalid_argument" });

  const env = Object.fromEntries(
    answer("env")
      .trim()
      .split("\n")
      .map((line) => line.split(/=(.*)/s)),
  );
  expect(env["TAILRACE_SERVER"]).toBe(url);
  const late = tailrace(["narrate", "too late"], { env });
  expect(await late.ended).toBe(1);
  expect(late.stderr).toMatch(/^tailrace: [^\n]+\n$/);
  expect(late.stderr).not.toContain(env["TAILRACE_JOB_TOKEN"]);
  // Nor does what anyone who may watch sees hold the token.
  const watch = tailrace(["watch", "--server", url, "--job", env["TAILRACE_JOB_ID"] as string, "--format", "json"]);
  expect(await watch.ended).toBe(0);
  expect(watch.stdout.toString()).toContain("com.example.step");
  expect(watch.stdout.toString()).not.toContain(env["TAILRACE_JOB_TOKEN"]);
});

test("outside of a job it speaks for a worker; without a server it fails at once", async () => {
  const { url } = await startServe(["--listen", "127.0.0.1:0", "--log", "memory"]);
  const said = tailrace(["narrate", "--server", url, "--worker", "deploy", "--level", "error", "disk full"]);
  expect([await said.ended, said.stdout.toString(), said.stderr]).toEqual([0, "", ""]);
  const shown = tailrace(["workers", "--server", url, "--format", "json"]);
  expect(await shown.ended).toBe(0);
  expect(JSON.parse(shown.stdout.toString())).toMatchObject({ workerId: "deploy" });
  const alone = tailrace(["narrate", "--server", `http://127.0.0.1:${await stablePort()}`, "--worker", "w", "x"]);
  expect(await alone.ended).toBe(4);
  const forged = tailrace(["narrate", "--server", url, "--worker", "w", "--job", "none", "x"]);
  expect(await forged.ended).toBe(1);
  expect(forged.stderr).toMatch(/^tailrace: [^\n]*none[^\n]*\n$/);
});

test("a job's environment holds what its operation and its job say, over what the server has", async () => {
  const cwd = scratchDirectory();
  const { url } = await serveOperations({
    show: bash("env > env", { cwd, env: { HOME: "/elsewhere" } }),
  });
  const show = tailrace(["submit", "-q", "--server", url, "show"]);
  expect(await show.ended).toBe(0);
  expect(existsSync(join(cwd, "env"))).toBe(true);
  expect(readFileSync(join(cwd, "env"), "utf8")).toMatch(/^HOME=\/elsewhere$/m);
});
