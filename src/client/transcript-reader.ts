import { type Client, createClient } from "@connectrpc/connect";
import { EventStreamService } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { type GetTranscriptResponse, WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { limits } from "../base/limits.ts";
import { foldTranscript, transcriptKinds } from "../events/transcript/fold.ts";
import { settle, transcriptOfPages } from "../events/transcript/messages.ts";
import type { TranscriptState } from "../events/transcript/state.ts";
import type { Connection } from "./connection.ts";
import { verdictOfThrown } from "./failures.ts";

/** A whole transcript at one instant. */
export interface ReadTranscript {
  readonly state: TranscriptState;
  /** Position of the instant. */
  readonly cursor: string;
  readonly revision: string;
}

/** Reads whole transcripts. Throws what the transport throws; nothing is retried. */
export class TranscriptReader {
  readonly #workers: Client<typeof WorkerService>;
  readonly #events: Client<typeof EventStreamService>;

  constructor(connection: Connection) {
    this.#workers = createClient(WorkerService, connection.transport);
    this.#events = createClient(EventStreamService, connection.transport);
  }

  /**
   * Reads a transcript page by page. Pages of a long one are of different instants: the events in between, which are listed
   * and folded, make them one. `ifRevisionNot`: gives the current cursor alone if that is still the revision.
   */
  async read(
    workerId: string,
    options: { readonly signal?: AbortSignal; readonly ifRevisionNot?: string } = {},
  ): Promise<ReadTranscript | { readonly state: undefined; readonly cursor: string; readonly revision: string }> {
    for (;;) {
      const pages = await this.#pages(workerId, options);
      const first = pages[0] as GetTranscriptResponse;
      const last = pages.at(-1) as GetTranscriptResponse;
      const { cursor, revision } = last;
      if (first.notModified) return { state: undefined, cursor, revision };
      const state = transcriptOfPages(pages);
      // Entries were taken back or dropped before they could be read.
      if (state === undefined) continue;
      if (!state.settling) return { state, cursor, revision };
      const caughtUp = await this.#foldBetween(workerId, state, first.cursor, cursor, options.signal);
      const settled = caughtUp && settle(caughtUp, last);
      if (settled !== undefined) return { state: settled, cursor, revision };
    }
  }

  async #pages(
    workerId: string,
    { signal, ifRevisionNot = "" }: { readonly signal?: AbortSignal; readonly ifRevisionNot?: string },
  ): Promise<GetTranscriptResponse[]> {
    const pages: GetTranscriptResponse[] = [];
    let pageToken = "";
    do {
      const request = { workerId, pageSize: limits.maxTranscriptPage, pageToken };
      const page = await this.#workers.getTranscript(
        pageToken === "" ? { ...request, ifRevisionNot } : request,
        callOptions(signal),
      );
      pages.push(page);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return pages;
  }

  /** Undefined: some of the events are gone already. */
  async #foldBetween(
    workerId: string,
    from: TranscriptState,
    after: string,
    untilCursor: string,
    signal: AbortSignal | undefined,
  ): Promise<TranscriptState | undefined> {
    let state = from;
    let cursor = after;
    for (;;) {
      const start = { case: "cursor", value: cursor } as const;
      const request = { workerIds: [workerId], kinds: [...transcriptKinds], start, untilCursor };
      try {
        const page = await this.#events.listEvents(request, callOptions(signal));
        state = page.events.reduce(foldTranscript, state);
        if (page.complete) return state;
        cursor = page.cursor;
      } catch (error) {
        if (verdictOfThrown(error).error.reason === "cursor_expired") return undefined;
        throw error;
      }
    }
  }
}

function callOptions(signal: AbortSignal | undefined) {
  return { timeoutMs: limits.requestTimeoutMs, ...(signal === undefined ? {} : { signal }) };
}
