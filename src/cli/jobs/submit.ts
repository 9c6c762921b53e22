import { toJsonString } from "@bufbuild/protobuf";
import { JobSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { type JobOutcome, TailraceError } from "../../base/errors.ts";
import {
  createJobs,
  type JobEnd,
  type JobWatch,
  type SubmitOptions,
  submitAndWatch,
  type WatchStatus,
} from "../../client/index.ts";
import type { submitOptions } from "../commands/submit.ts";
import { exitCodes } from "../exit-codes.ts";
import { chosenCommandServer, chosenServer } from "../options/server-option.ts";
import type { OptionValues } from "../options/spec.ts";
import { reportError, say } from "../report.ts";
import { onStopSignals, type StopSignal, signalExitCode } from "../stop-signals.ts";
import { type JobScreen, JsonScreen, TextScreen } from "./job-screen.ts";
import { type GivenParams, readParams, withHint } from "./params.ts";

/** Tries to reach a server before it counts as unreachable. A try is harmless: all of them ask for the same job. */
const submitTries = 3;

const codeOfOutcome: Readonly<Record<JobOutcome, number>> = {
  succeeded: exitCodes.ok,
  failed: exitCodes.failed,
  timed_out: exitCodes.timedOut,
  cancelled: exitCodes.interrupted,
};

type Values = OptionValues<typeof submitOptions>;

/** `tailrace submit`: a job, followed to its end, whose outcome is the exit code. */
export async function submit(values: Values, operation: string, operands: readonly string[]): Promise<number> {
  const given = readParams(values.params, operands);
  const options = jobOptions(values);
  try {
    return values.detach
      ? await detached(values, operation, given, options)
      : await followed(values, operation, given, options);
  } catch (error) {
    if (!(error instanceof TailraceError)) throw error;
    const code = reportError(withHint(error, given));
    // "Failed" says that there was a job, and that it did.
    return code === exitCodes.failed ? exitCodes.unreachable : code;
  }
}

function jobOptions(values: Values): SubmitOptions {
  const timeouts = {
    ...(values.timeout === undefined ? {} : { totalMs: values.timeout }),
    ...(values["idle-timeout"] === undefined ? {} : { idleMs: values["idle-timeout"] }),
    ...(values["queue-timeout"] === undefined ? {} : { queueMs: values["queue-timeout"] }),
  };
  return {
    deferred: values.deferred,
    timeouts,
    ...(values["idempotency-key"] === undefined ? {} : { idempotencyKey: values["idempotency-key"] }),
    ...(values.worker === undefined ? {} : { workerId: values.worker }),
    ...(values.correlation === undefined ? {} : { correlationId: values.correlation }),
  };
}

/** Prints the id and leaves. */
async function detached(
  values: Values,
  operation: string,
  given: GivenParams,
  options: SubmitOptions,
): Promise<number> {
  const jobs = createJobs({ baseUrl: chosenCommandServer(values) });
  const { job, jobId } = await jobs.submit(operation, given.params, options);
  process.stdout.write(`${values.json ? toJsonString(JobSchema, job) : jobId}\n`);
  jobs.close();
  return exitCodes.ok;
}

async function followed(
  values: Values,
  operation: string,
  given: GivenParams,
  options: SubmitOptions,
): Promise<number> {
  const server = chosenServer(values.server);
  const screen: JobScreen = values.json ? new JsonScreen() : new TextScreen(values.quiet);
  const say = (line: string) => {
    if (!values.quiet && !values.json) screen.say(line);
  };
  let accepted = false;
  const onStatus = (status: WatchStatus): void => {
    if (status.kind === "gap") screen.say("some events of the job are no longer retained; going on behind them");
    if (status.kind === "opened" && status.resumed) say(`connected again to ${server}`);
    if (status.kind !== "reconnecting") return;
    if (!accepted && status.attempt >= submitTries) throw status.error;
    if (accepted) say(`${status.error.message} Trying again in ${(status.delayMs / 1000).toFixed(1)} s.`);
  };
  const run = submitAndWatch({
    baseUrl: server,
    commandUrl: chosenCommandServer(values),
    operation,
    params: given.params,
    ...options,
    ...(values.heartbeat === undefined ? {} : { heartbeatMs: values.heartbeat }),
    onExpired: "continue_with_gap",
    onStatus,
  });
  using stop = new StopTwice(run, screen);
  try {
    const { jobId, job } = await run.submitted;
    accepted = true;
    stop.jobId = jobId;
    say(`job ${jobId}${job.deferred ? `, which waits; start it with: tailrace start ${jobId}` : ""}`);
    for await (const { events } of run.batches()) await screen.show(events);
    const end = stop.left ? undefined : await run.outcome;
    await screen.finish();
    if (end === undefined) return signalExitCode(stop.received as string);
    say(`job ${jobId} ${inWords(end)}`);
    return codeOfOutcome[end.state];
  } catch (error) {
    if (stop.left) return signalExitCode(stop.received as string);
    if (!accepted) throw error;
    await screen.finish();
    return leftAlone(error, stop.jobId);
  } finally {
    await screen.finish();
    await run.close();
  }
}

/** The job can't be followed any more. It goes on, and whoever asked for it must know its id. */
function leftAlone(error: unknown, jobId: string): number {
  const code = reportError(error);
  say(`job ${jobId} was submitted; see what becomes of it with: tailrace job ${jobId}`);
  return code === exitCodes.cursorGone ? code : exitCodes.unreachable;
}

function inWords({ state, reason, message }: JobEnd): string {
  const how = reason === "" ? state.replace("_", " ") : `${state.replace("_", " ")} (${reason})`;
  return message === "" ? how : `${how}: ${message}`;
}

/** The first stop signal cancels the job, which is then followed to its end; the second leaves it running. */
class StopTwice implements Disposable {
  readonly #run: JobWatch;
  readonly #screen: JobScreen;
  readonly #stopListening: () => void;
  /** Known once the job was accepted. */
  jobId = "";
  received: StopSignal | undefined;
  /** Whether the job was left to itself. */
  left = false;

  constructor(run: JobWatch, screen: JobScreen) {
    this.#run = run;
    this.#screen = screen;
    this.#stopListening = onStopSignals((signal) => this.#take(signal));
  }

  [Symbol.dispose](): void {
    this.#stopListening();
  }

  #take(signal: StopSignal): void {
    const again = this.received !== undefined;
    this.received = signal;
    if (!again) {
      const name = this.jobId === "" ? "the job" : `job ${this.jobId}`;
      this.#screen.say(`cancelling ${name}; once more leaves it running`);
      // Also before it is accepted: what was asked for may exist, though its answer is still on its way.
      this.#run.cancel("tailrace submit was interrupted").catch((error: unknown) => {
        // Of a job that was never accepted the submit itself says why.
        if (!this.left && this.jobId !== "") reportError(error);
      });
      return;
    }
    this.left = true;
    const seeAgain = this.jobId === "" ? "" : `: tailrace job ${this.jobId}`;
    this.#screen.say(`leaving it as it is${seeAgain}`);
    void this.#run.close();
  }
}
