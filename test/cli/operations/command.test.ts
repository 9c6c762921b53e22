import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { OutputChunk } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { OutputStream } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { TailraceError } from "../../../src/base/errors.ts";
import { runCommand } from "../../../src/cli/operations/command.ts";
import { readOperations } from "../../../src/cli/operations/config.ts";
import { JobFailure } from "../../../src/runtime/jobs/operation.ts";
import { groupIsGone } from "../../support/processes.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { until } from "../support.ts";

interface Ran {
  readonly chunks: OutputChunk[];
  readonly abort: AbortController;
  readonly ended: Promise<unknown>;
  text(stream?: OutputStream): string;
  /** The number that a script prints as the first word of a line that begins with `name`. */
  number(name: string): Promise<number>;
}

/** Runs a bash script as the command of a job that only notes what it publishes. */
async function ran(
  script: string,
  settings: Record<string, unknown> = {},
  publish: (chunk: OutputChunk) => Promise<void> = () => Promise.resolve(),
): Promise<Ran> {
  const [operation] = await readOperations(
    { it: { command: ["bash", "-c", script], ...settings } },
    scratchDirectory(),
  );
  const chunks: OutputChunk[] = [];
  const abort = new AbortController();
  const ended = runCommand(
    operation as NonNullable<typeof operation>,
    {},
    {
      signal: abort.signal,
      environment: () => ({ TAILRACE_JOB_ID: "job-1" }),
      publish: async (payload) => {
        const chunk = (payload as { value: OutputChunk }).value;
        await publish(chunk);
        chunks.push(chunk);
        return { cursor: "", firstSequence: 0, lastSequence: 0 };
      },
    },
  );
  ended.catch(() => undefined);
  onTestFinished(async () => {
    abort.abort();
    await ended.catch(() => undefined);
  });
  const text = (stream = OutputStream.STDOUT) =>
    Buffer.concat(chunks.filter((chunk) => chunk.stream === stream).map(({ data }) => data)).toString();
  return {
    chunks,
    abort,
    ended,
    text,
    async number(name) {
      const pattern = new RegExp(`^${name} (\\d+)$`, "m");
      await until(() => pattern.test(text()));
      return Number(pattern.exec(text())?.[1]);
    },
  };
}

describe("a command", () => {
  test("publishes its output with offsets, whole", async () => {
    const { ended, chunks } = await ran("head -c 300000 /dev/zero | tr '\\0' x; printf problem >&2; exit 0");
    expect(await ended).toEqual({ exitCode: 0 });
    for (const [stream, bytes] of [
      [OutputStream.STDOUT, 300_000],
      [OutputStream.STDERR, 7],
    ] as const) {
      let offset = 0;
      for (const chunk of chunks.filter((each) => each.stream === stream)) {
        expect(Number(chunk.offset)).toBe(offset);
        expect(chunk.data.length).toBeLessThanOrEqual(64 * 1024);
        offset += chunk.data.length;
      }
      expect(offset).toBe(bytes);
    }
  });

  test("has the variables of the server, of its operation and of its job, reads nothing, and may open /dev/stdout", async () => {
    vi.stubEnv("OF_THE_SERVER", "server");
    // Of a job in which the server itself runs.
    vi.stubEnv("TAILRACE_WORKER_ID", "outer");
    const directory = scratchDirectory();
    const script = 'cat; echo "$OF_THE_SERVER $OWN $TAILRACE_JOB_ID$TAILRACE_WORKER_ID" > /dev/stdout; pwd';
    const { ended, text } = await ran(script, { env: { OWN: "own" }, cwd: directory });
    await ended;
    expect(text()).toBe(`server own job-1\n${directory}\n`);
  });

  test("that fails says its exit code or signal", async () => {
    const failing = await ran("exit 3");
    await expect(failing.ended).rejects.toMatchObject({ name: "JobFailure", reason: "exit_code", exitCode: 3 });
    const killed = await ran("kill -9 $$");
    await expect(killed.ended).rejects.toMatchObject({ reason: "signal", message: "ended by SIGKILL" });
  });

  test("that can't be started says why, without a path of this machine", async () => {
    const directory = scratchDirectory();
    const message = async (settings: Record<string, unknown>) => {
      const error = await (await ran("true", settings)).ended.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(JobFailure);
      expect(error).toMatchObject({ reason: "handler_failed", exitCode: undefined });
      expect((error as Error).message).not.toContain(directory);
      return (error as Error).message;
    };
    expect(await message({ command: ["no-such-program"] })).toBe("command not found: no-such-program");
    expect(await message({ cwd: join(directory, "gone") })).toBe("the command's working directory does not exist");
    expect(await message({ command: ["/etc/passwd"] })).toBe("permission denied: passwd");
  });

  test("of a job that is over already is not started", async () => {
    const marker = join(scratchDirectory(), "marker");
    const [operation] = await readOperations({ it: { command: ["touch", marker] } }, "/");
    const job = { signal: AbortSignal.abort(), environment: () => ({}), publish: () => Promise.reject(new Error()) };
    await expect(runCommand(operation as NonNullable<typeof operation>, {}, job)).rejects.toThrow();
    expect(existsSync(marker)).toBe(false);
  });
});

describe("when the job is to stop", () => {
  test("the whole group gets SIGTERM, and what it says then is recorded", async () => {
    const script = "trap 'echo stopping; exit 0' TERM; sleep 1000 & echo group $$; wait";
    const { abort, ended, number, text } = await ran(script);
    const group = await number("group");
    abort.abort();
    await ended;
    expect(text()).toContain("stopping\n");
    expect(groupIsGone(group)).toBe(true);
  });

  test("what ignores SIGTERM, and what that has started, gets SIGKILL after the grace", async () => {
    const script = 'trap "" TERM; sleep 1000 & echo group $$; sleep 1000';
    const { abort, ended, number } = await ran(script, { cancelGrace: "200ms" });
    const group = await number("group");
    const begun = performance.now();
    abort.abort();
    await expect(ended).rejects.toMatchObject({ reason: "signal" });
    expect(performance.now() - begun).toBeGreaterThan(150);
    expect(groupIsGone(group)).toBe(true);
  });

  test("a grandchild that outlives the command does not outlive the job", async () => {
    const script = '(trap "" TERM; echo group $$; exec sleep 1000 > /dev/null 2>&1) & wait';
    const { abort, ended, number } = await ran(script, { cancelGrace: "200ms" });
    const group = await number("group");
    abort.abort();
    await expect(ended).rejects.toMatchObject({ reason: "signal", message: "ended by SIGTERM" });
    expect(groupIsGone(group)).toBe(true);
  });
});

test("what a command leaves in its group when it ends by itself is ended too", async () => {
  const { ended, number } = await ran("echo group $$; sleep 1000 & sleep 1000 > /dev/null 2>&1 & exit 0");
  const group = await number("group");
  expect(await ended).toEqual({ exitCode: 0 });
  expect(groupIsGone(group)).toBe(true);
});

test("who left the group and holds the output open is not waited for", async () => {
  const pidFile = join(scratchDirectory(), "pid");
  onTestFinished(() => {
    process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL");
  });
  const script = `setsid sh -c 'echo $$ > ${pidFile}; exec sleep 1000' & until [ -s ${pidFile} ]; do sleep 0.01; done; echo done`;
  const { ended, text } = await ran(script);
  expect(await ended).toEqual({ exitCode: 0 });
  expect(text()).toBe("done\n");
});

test("a command that is faster than the log waits, and loses nothing", async () => {
  const gate = Promise.withResolvers<void>();
  let calls = 0;
  const marker = join(scratchDirectory(), "marker");
  const run = await ran(`head -c 3000000 /dev/zero; touch ${marker}`, {}, () => {
    calls++;
    return gate.promise;
  });
  await until(() => calls === 1);
  // Whether it wrote on is seen only by what it does afterwards, for which it has plenty of time here.
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect([calls, existsSync(marker)]).toEqual([1, false]);
  gate.resolve();
  expect(await run.ended).toEqual({ exitCode: 0 });
  expect(run.text().length).toBe(3_000_000);
});

test("output waits for a log that is away for a while", async () => {
  let away = 2;
  const { ended, text } = await ran("echo one; echo two", {}, async () => {
    if (away-- > 0) throw new TailraceError("log_unavailable", { sinceMs: 0, retryAfterMs: 1 }, "away");
  });
  expect(await ended).toEqual({ exitCode: 0 });
  expect(text()).toBe("one\ntwo\n");
});

test("a command whose output is refused for good is stopped, and the job says why", async () => {
  const { ended } = await ran("echo one; sleep 1000", {}, async () => {
    throw new TailraceError("job_ended", { jobId: "job-1", state: "cancelled" }, "The job has ended.");
  });
  await expect(ended).rejects.toThrow("The job has ended.");
});
