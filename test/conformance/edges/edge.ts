import type { MessageInitShape } from "@bufbuild/protobuf";
import type { StreamDiagnostic } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import type {
  WatchEventsRequestSchema,
  WatchEventsResponse,
} from "../../../gen/tailrace/v1/event_stream_service_pb.ts";

/** A frame, whatever edge it came over. */
export type Frame = Exclude<WatchEventsResponse["frame"], { case: undefined }>;

export type WatchRequest = MessageInitShape<typeof WatchEventsRequestSchema>;

/** How a watch ended, as the protocol of its edge says it, apart from frames. */
export interface Ending {
  /** Connect code in lower case ("out_of_range"); "ok"; undefined where an edge has none (SSE, once it streams). */
  readonly code: string | undefined;
  /** The error detail (RPC) or the member of the problem (HTTP). */
  readonly detail: StreamDiagnostic | undefined;
  /** HTTP status; undefined where a protocol does not show it. */
  readonly status: number | undefined;
}

/** A watch over one edge. Frames are parsed strictly: what the schema does not have fails `next`. */
export interface EdgeWatch {
  /** The next frame; undefined at the end. */
  next(): Promise<Frame | undefined>;
  /** How it ended. Settles after `next` gave undefined. */
  readonly ending: Promise<Ending>;
  /** Breaks the connection, as a reader that vanishes. */
  leave(): void;
}

/** What goes with a request besides its message. */
export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
}

/** A way to watch a server over a real socket. */
export interface Edge {
  readonly name: string;
  watch(url: string, request: WatchRequest, options?: CallOptions): EdgeWatch;
}

/** Connect codes by their number. */
export const codeNames: readonly string[] = [
  "ok",
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
];
