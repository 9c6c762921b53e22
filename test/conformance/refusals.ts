import { EventKind } from "../../gen/tailrace/v1/event_pb.ts";
import { type IfMissing, OnExpired, type StartAt } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { TailraceError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { CursorCodec, origin, type Position } from "../../src/events/cursor.ts";
import { Epochs } from "../../src/events/epochs.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { WatchRequest } from "./edges/edge.ts";
import type { FaultyLog } from "./faulty-log.ts";
import type { RefusalReason } from "./reasons.ts";
import { setLimit } from "./set-limit.ts";
import { resumeFrom } from "./viewer.ts";
import { idsOf, publishBatch, publishIds, type World } from "./world.ts";

/** A watch that is refused before it begins. */
export interface Refusal {
  readonly name: string;
  readonly reason: RefusalReason;
  /** What the reason must carry. Strings for numbers of 64 bits: as proto3 JSON has them. */
  readonly details?: object;
  /** Brings the world about. Its log is small (3 events a worker) and fails on demand. */
  readonly request: (world: World, log: FaultyLog) => Promise<WatchRequest> | WatchRequest;
  /** Whether coming back may help. */
  readonly returning?: boolean;
  /** Whether a request for it has no form in a URL. */
  readonly rpcOnly?: boolean;
  /** Whether the start is at fault, which a reconnecting EventSource's header would replace. */
  readonly startInUrl?: boolean;
  /** Name of the parameter in a URL, where it differs from the field's. */
  readonly parameter?: string;
}

const position = { ...origin, sequence: 2, ordinal: 2 };

export const retentionOfRefusals = { workerEvents: 3 };

/** Faults of the log must not leak their words. */
export const secretOfTheHost = "/var/lib/secret-path";

/** The cursor of a position where somebody else wrote. */
function lostCursor({ id, cursors }: Runtime, at: Position): string {
  const epochs = new Epochs();
  epochs.begin(0, "of the history that was lost");
  return new CursorCodec(id, cursors.generation, epochs).encode(at);
}

function field(name: string, path: string, request: WatchRequest, more: Partial<Refusal> = {}): Refusal {
  const startInUrl = request.start !== undefined;
  return { name, reason: "invalidRequest", details: { field: path }, request: () => request, startInUrl, ...more };
}

/** The rows of the diagnostics table that can refuse a watch. */
export const refusals: readonly Refusal[] = [
  field("a kind that nobody knows", "kinds[1]", { kinds: [EventKind.OUTPUT, 9_999 as EventKind] }),
  field("too many workers", "worker_ids", { workerIds: idsOf("w", limits.maxWatchedWorkers + 1) }),
  field("an empty worker id", "worker_ids[1]", { workerIds: ["a", ""] }),
  field("a worker id that is too long", "worker_ids[0]", { workerIds: ["é".repeat(129)] }),
  field("a job id that is too long", "job_id", { jobId: "j".repeat(257) }),
  field("a job and workers", "job_id", { workerIds: ["w"], jobId: "j" }, { rpcOnly: true }),
  field("the last 0 events", "last", { start: { case: "last", value: 0 } }),
  field("too many last events", "last", { start: { case: "last", value: limits.maxLast + 1 } }),
  field("a start that nobody knows", "start_at", { start: { case: "startAt", value: 9 as StartAt } }),
  field("a policy that nobody knows", "on_expired", { onExpired: 9 as OnExpired }),
  field("another policy that nobody knows", "if_missing", { ifMissing: 9 as IfMissing }),
  field(
    "a heartbeat before the last",
    "heartbeat_interval",
    { heartbeatInterval: { seconds: -1n } },
    { parameter: "heartbeat" },
  ),
  { name: "an empty cursor", reason: "cursorMalformed", request: () => resumeFrom(""), startInUrl: true },
  { name: "a cursor that is none", reason: "cursorMalformed", request: () => resumeFrom("0") },
  {
    name: "a cursor that is none, whatever gap is allowed",
    reason: "cursorMalformed",
    request: () => resumeFrom("not-a-cursor", { onExpired: OnExpired.CONTINUE_WITH_GAP }),
  },
  {
    name: "a cursor of another runtime",
    reason: "cursorUnknown",
    details: { cause: "CURSOR_UNKNOWN_CAUSE_OTHER_RUNTIME" },
    request: ({ runtime }) => resumeFrom(new CursorCodec("another", runtime.cursors.generation).encode(position)),
  },
  {
    name: "a cursor of another runtime, whatever gap is allowed",
    reason: "cursorUnknown",
    details: { cause: "CURSOR_UNKNOWN_CAUSE_OTHER_RUNTIME" },
    request: ({ runtime }) =>
      resumeFrom(new CursorCodec("another", runtime.cursors.generation).encode(position), {
        onExpired: OnExpired.CONTINUE_WITH_GAP,
      }),
  },
  {
    name: "a cursor of a log that was wiped",
    reason: "cursorUnknown",
    details: { cause: "CURSOR_UNKNOWN_CAUSE_OTHER_GENERATION" },
    request: ({ runtime }) => resumeFrom(new CursorCodec(runtime.id, runtime.cursors.generation ^ 1n).encode(position)),
  },
  {
    name: "a cursor of a history that was lost",
    reason: "cursorUnknown",
    details: { cause: "CURSOR_UNKNOWN_CAUSE_OTHER_HISTORY" },
    request: async ({ runtime }) => {
      await publishBatch(runtime, "w", idsOf("now", 3));
      return resumeFrom(lostCursor(runtime, position));
    },
  },
  {
    name: "a cursor of a history that was lost, beyond the head",
    reason: "cursorUnknown",
    details: { cause: "CURSOR_UNKNOWN_CAUSE_OTHER_HISTORY" },
    request: ({ runtime }) => resumeFrom(lostCursor(runtime, { ...origin, sequence: 1e9, ordinal: 1e9 })),
  },
  {
    name: "a cursor beyond the head",
    reason: "cursorUnknown",
    details: { cause: "CURSOR_UNKNOWN_CAUSE_BEYOND_HEAD" },
    request: ({ runtime }) => resumeFrom(runtime.cursors.encode({ ...origin, sequence: 1e9, ordinal: 1e9 })),
  },
  {
    name: "a cursor that retention left behind",
    reason: "cursorExpired",
    details: { lostEvents: "9", lostExact: true },
    request: async ({ runtime }) => {
      const { cursor } = await publishIds(runtime, "w", ["1"]);
      await publishBatch(runtime, "w", idsOf("more", 12));
      return resumeFrom(cursor, { workerIds: ["w"] });
    },
  },
  {
    name: "a worker that does not exist",
    reason: "workerNotFound",
    details: { workerId: "nobody/here" },
    request: () => ({ workerIds: ["nobody/here"] }),
  },
  {
    name: "one of several workers that does not exist",
    reason: "workerNotFound",
    details: { workerId: "nobody" },
    request: async ({ runtime }) => {
      await publishIds(runtime, "w", ["1"]);
      return { workerIds: ["w", "nobody"] };
    },
  },
  { name: "a job", reason: "jobNotFound", details: { jobId: "j1" }, request: () => ({ jobId: "j1" }) },
  {
    name: "a server that closes",
    reason: "serverClosing",
    returning: true,
    request: ({ runtime }) => {
      runtime.beginClosing(2_000);
      return {};
    },
  },
  {
    name: "one watch too many",
    reason: "limitExceeded",
    details: { limit: "max_watches", maximum: "1" },
    returning: true,
    request: async ({ runtime }) => {
      setLimit("maxWatches", 1);
      await runtime.watch()[Symbol.asyncIterator]().next();
      return {};
    },
  },
  {
    name: "a log that can't be read to find the start",
    startInUrl: true,
    reason: "logUnavailable",
    returning: true,
    request: (_, log) => {
      const cause = new Error(secretOfTheHost);
      const details = { sinceMs: 1_700_000_000_000, retryAfterMs: 1_000 };
      log.readFault = new TailraceError("log_unavailable", details, "The log can't be read.", { cause });
      return { start: { case: "last", value: 1 } };
    },
  },
  {
    name: "a fault of the server",
    startInUrl: true,
    reason: "internal",
    request: (_, log) => {
      log.readFault = new Error(`cannot read ${secretOfTheHost}`);
      return { start: { case: "last", value: 1 } };
    },
  },
];
