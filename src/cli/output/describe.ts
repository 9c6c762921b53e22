import { toJsonString } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Event, EventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import {
  type JobStateChanged,
  JobStateSchema,
  NarrationLevel,
  type WorkerEnded,
  WorkerOutcomeSchema,
  WorkerStateSchema,
} from "../../../gen/tailrace/v1/payloads_pb.ts";
import { kindByCase, kindName } from "../../events/kinds.ts";

/** The name of an event's kind; "unknown" for one that this release does not know. */
export function kindOf(event: Event): string {
  const { case: field } = event.payload;
  return field === undefined ? "unknown" : (kindName(kindByCase.get(field) as number) as string);
}

/** When an event was accepted, as local time of day with milliseconds. */
export function timeOfDay(event: Event): string {
  const date = new Date(event.time === undefined ? 0 : timestampMs(event.time));
  const two = (number: number) => String(number).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}

/** What an event says, in words. Not for output, which is text itself. */
export function describe(event: Event): string {
  const { payload } = event;
  switch (payload.case) {
    case undefined:
      return "(a kind that this release does not know)";
    case "narration": {
      const { action, message, human, level } = payload.value;
      const loud = level === NarrationLevel.WARN ? "warning" : level === NarrationLevel.ERROR ? "error" : "";
      const words = human === "" ? message : human;
      // Many say "error: ..." themselves.
      const saysSo = loud !== "" && words.toLowerCase().startsWith(loud);
      return joined(": ", action, saysSo ? "" : loud, words);
    }
    case "workerStatus":
      return joined(": ", enumWord(WorkerStateSchema.value, payload.value.state), payload.value.message);
    case "workerCreated":
      return payload.value.info?.displayName ?? "";
    case "workerUpdated":
      return joined(
        ": ",
        payload.value.info?.displayName ?? "",
        enumWord(WorkerStateSchema.value, payload.value.state),
      );
    case "workerEnded":
      return describeEnd(payload.value);
    case "jobStateChanged":
      return describeJobState(payload.value);
    case "progress": {
      const { task, done, total, unit, message } = payload.value;
      const amount = joined(" ", total === undefined ? `${done}` : `${done} of ${total}`, unit);
      return joined(": ", task, joined(" ", amount, message));
    }
    case "alert":
      return joined(": ", payload.value.source, payload.value.message);
    case "custom": {
      const { type, contentType, data } = payload.value;
      if (!/^text\/|[/+]json\b/.test(contentType))
        return `${type} (${joined(", ", contentType, `${data.length} bytes`)})`;
      return joined(": ", type, new TextDecoder().decode(data));
    }
    case "runtimeStarted":
    case "runtimeStopped":
    case "workerStopped":
    case "workerCancelled":
    case "workerRemoved":
    case "workerRestored":
      return payload.value.message;
    default:
      return payloadJson(event);
  }
}

/** How a worker ended, in words. */
export function describeEnd(end: WorkerEnded): string {
  const how = end.signal !== "" ? end.signal : end.exitCode === undefined ? "" : `exit code ${end.exitCode}`;
  return joined(": ", joined(", ", enumWord(WorkerOutcomeSchema.value, end.outcome), how), end.message);
}

/** What became of a job, in words. */
export function describeJobState(change: Pick<JobStateChanged, "state" | "reason" | "message">): string {
  const state = enumWord(JobStateSchema.value, change.state).replace("_", " ");
  return joined(": ", joined(", ", state, change.reason), change.message);
}

/** The last part of an enum value's name in lower case ("succeeded"); its number where this release does not know it. */
export function enumWord(values: Readonly<Record<number, { readonly localName: string }>>, number: number): string {
  return values[number]?.localName.toLowerCase() ?? String(number);
}

function payloadJson(event: Event): string {
  const { case: field } = event.payload;
  const whole = JSON.parse(toJsonString(EventSchema, event)) as Record<string, unknown>;
  return field === undefined ? "" : JSON.stringify(whole[field]);
}

function joined(separator: string, ...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(separator);
}
