import { limits } from "../base/limits.ts";

/** A parameter of a query, or a header, as a request or an answer has it. */
export interface Parameter {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of its value. */
  readonly schema: { readonly [keyword: string]: unknown };
}

const text = { type: "string" };

function named(name: string, description: string, schema: Parameter["schema"] = text): Parameter {
  return { name, description, schema };
}

function choice(name: string, description: string, values: readonly string[]): Parameter {
  return named(name, description, { type: "string", enum: values });
}

function duration(name: string, description: string): Parameter {
  return named(name, description, { type: "string", examples: ["15s", "1h30m"] });
}

const cursor = named("cursor", "Position to go on from.");
const onExpired = choice(
  "on_expired",
  "What happens when the log no longer holds what follows the cursor: the end (default), or a gap notice.",
  ["fail", "continue_with_gap"],
);
const heartbeat = duration(
  "heartbeat",
  "Silence after which the stream shows that it lives: 1s to 60s, by default 15s.",
);

/** Of a watch of one worker or job, whose path says which. */
export const watchParameters: readonly Parameter[] = [
  cursor,
  choice("start_at", "Where to begin without a cursor.", ["earliest", "latest"]),
  named("since", "Begin with the first event at or after this time (RFC 3339), or no older than this duration.", {
    type: "string",
    examples: ["2026-01-31T12:00:00Z", "5m"],
  }),
  named("last", "Begin with so many of the newest events.", { type: "integer", minimum: 1, maximum: limits.maxLast }),
  named("kinds", "Kinds of events to give, in lower case, separated by commas. Absent: all."),
  onExpired,
  choice("if_missing", "What happens when there is nothing to watch yet: an error (default), or waiting.", [
    "fail",
    "wait",
  ]),
  heartbeat,
];

/** Of a watch whose path says nothing. */
export const runtimeWatchParameters: readonly Parameter[] = [
  ...watchParameters,
  named(
    "worker_ids",
    `Workers to watch, separated by commas, at most ${limits.maxWatchedWorkers}. Absent: everything.`,
  ),
];

/** Of the simple stream of a job. */
export const simpleStreamParameters: readonly Parameter[] = [cursor, heartbeat];

const pageSize = (most: number, usual: number) =>
  named("page_size", `How many at the most. By default ${usual}.`, { type: "integer", minimum: 0, maximum: most });
const pageToken = named("page_token", "Token of the page, from the answer before.");

export const workerListParameters: readonly Parameter[] = [
  pageSize(limits.maxWorkerPage, limits.defaultWorkerPage),
  pageToken,
];

export const transcriptParameters: readonly Parameter[] = [
  pageSize(limits.maxTranscriptPage, limits.defaultTranscriptPage),
  pageToken,
  choice("newest_first", "Whether pages go back from the newest entries.", ["true", "false"]),
  named("changed_since", "Give only entries that changed after this revision of the transcript."),
];

export const jobListParameters: readonly Parameter[] = [
  named("states", "States to give, in lower case, separated by commas. Absent: all.", {
    type: "string",
    examples: ["queued,running"],
  }),
  named("operation", "Operation to give. Absent: all."),
  pageSize(limits.maxJobPage, limits.defaultJobPage),
  pageToken,
];

export const cancelParameters: readonly Parameter[] = [named("message", "Why, for people.")];

/** Headers of requests. */
export const lastEventId = named("Last-Event-ID", "Position to go on from. It beats the query.");
export const ifNoneMatch = named("If-None-Match", "Tag of the answer that the caller has.");

/** Headers of answers. */
export const entityTag = named("ETag", "Revision of what the answer shows.");
export const cursorHeader = named("Tailrace-Cursor", "Position after the last event that the answer includes.");
export const location = named("Location", "Path of the job.");
