import { existsSync } from "node:fs";
import { basename } from "node:path";
import { OutputStream } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { type JobContext, JobFailure, type JobResult } from "../../runtime/jobs/operation.ts";
import { type CommandEnd, startChild } from "../run/child.ts";
import type { OperationConfig } from "./config.ts";
import { OutputRecorder } from "./output-recorder.ts";
import type { Params } from "./params.ts";
import { ProcessGroup } from "./process-group.ts";

/** What a job's command needs of its job. */
export type CommandJob = Pick<JobContext, "environment" | "publish" | "signal">;

/** What of an operation says how its command runs. */
export type CommandOperation = Pick<OperationConfig, "params" | "cwd" | "env" | "cancelGraceMs">;

/**
 * Runs an operation's command as a job. When the job is over, for whatever reason, nothing of the command's process group
 * is left: the whole group gets SIGTERM when the job is to stop, and when the command has ended by itself and left
 * something behind; what is there after the grace gets SIGKILL.
 */
export async function runCommand(operation: CommandOperation, params: Params, job: CommandJob): Promise<JobResult> {
  const { cwd } = operation;
  const [file, ...args] = operation.params.expand(params) as [string, ...string[]];
  job.signal.throwIfAborted();
  const child = await startChild(file, args, {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...serverEnvironment(), ...operation.env, ...job.environment() },
    stdin: "ignore",
    ownGroup: true,
  });
  const group = child.pid === undefined ? undefined : new ProcessGroup(child.pid, operation.cancelGraceMs);
  const stop = () => void group?.end();
  job.signal.addEventListener("abort", stop, { once: true });
  if (job.signal.aborted) stop();
  try {
    const outputs = [
      new OutputRecorder(child.stdout, OutputStream.STDOUT, job),
      new OutputRecorder(child.stderr, OutputStream.STDERR, job),
    ];
    // A command whose output can't be kept is not worth its while.
    for (const output of outputs) output.done.catch(stop);
    const end = await child.ended;
    await group?.end();
    await Promise.all(outputs.map((output) => output.finish()));
    return resultOf(end, file, cwd);
  } finally {
    job.signal.removeEventListener("abort", stop);
  }
}

/** Our own environment, without what a job in which this server itself may run was told. */
function serverEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TAILRACE_")));
}

function resultOf(end: CommandEnd, file: string, cwd: string | undefined): JobResult {
  switch (end.kind) {
    case "exited":
      if (end.exitCode === 0) return { exitCode: 0 };
      throw new JobFailure(`exit code ${end.exitCode}`, { exitCode: end.exitCode, reason: "exit_code" });
    case "killed":
      throw new JobFailure(`ended by ${end.signal}`, { reason: "signal" });
    case "not_started":
      // The system says the same of a program and of a directory that is not there.
      if (end.reason === "not_found" && cwd !== undefined && !existsSync(cwd)) {
        throw new JobFailure("the command's working directory does not exist");
      }
      // Whoever watches the job sees this: which program, and not where this machine keeps it.
      throw new JobFailure(`${end.message}: ${basename(file)}`);
  }
}
