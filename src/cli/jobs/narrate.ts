import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import type { NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { NarrationLevel } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { PublisherService } from "../../../gen/tailrace/v1/publisher_service_pb.ts";
import { limits } from "../../base/limits.ts";
import { verdictOfCommand } from "../../client/failures.ts";
import type { narrateOptions } from "../commands/narrate.ts";
import { exitCodes } from "../exit-codes.ts";
import { usageError } from "../options/parse.ts";
import { chosenCommandServer } from "../options/server-option.ts";
import type { OptionValues } from "../options/spec.ts";

type Values = OptionValues<typeof narrateOptions>;
type NewEventInit = MessageInitShape<typeof NewEventSchema>;

const levels = {
  debug: NarrationLevel.DEBUG,
  info: NarrationLevel.INFO,
  warn: NarrationLevel.WARN,
  error: NarrationLevel.ERROR,
} as const;

/**
 * `tailrace narrate`. Published without a producer id, of which a server remembers only so many: a script that says much
 * would make it forget those who need theirs.
 */
export async function narrate(values: Values, message: string): Promise<number> {
  const token = variable("TAILRACE_JOB_TOKEN");
  const jobId = values.job ?? variable("TAILRACE_JOB_ID") ?? "";
  const workerId = values.worker ?? variable("TAILRACE_WORKER_ID") ?? "";
  if (jobId === "" && workerId === "") {
    throw usageError("narrate", "--worker", "Who says it? Outside of a job give --worker ID.");
  }
  // Only for the job that it is good for: whoever names another does not speak for this one.
  const ownJob = values.job === undefined || values.job === variable("TAILRACE_JOB_ID");
  const transport = createConnectTransport({
    baseUrl: chosenCommandServer(values),
    httpVersion: "1.1",
    interceptors: token !== undefined && ownJob ? [bearer(token)] : [],
  });
  const correlationId = ownJob ? (variable("TAILRACE_CORRELATION_ID") ?? "") : "";
  const event: NewEventInit = { jobId, workerId, correlationId, payload: payloadOf(values, message) };
  try {
    await createClient(PublisherService, transport).publishEvents(
      { events: [event] },
      { timeoutMs: limits.requestTimeoutMs },
    );
  } catch (thrown) {
    throw verdictOfCommand(thrown, "publishing").error;
  }
  return exitCodes.ok;
}

function payloadOf(values: Values, message: string): NonNullable<NewEventInit["payload"]> {
  const { action = "log", level = "info", actor = "", target = "", done, total, unit = "", task = "" } = values;
  if (done === undefined) {
    return { case: "narration", value: { action, message, level: levels[level], actor, target } };
  }
  return { case: "progress", value: { done, unit, task, message, ...(total === undefined ? {} : { total }) } };
}

function variable(name: string): string | undefined {
  const text = process.env[name];
  return text === "" ? undefined : text;
}

function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}
