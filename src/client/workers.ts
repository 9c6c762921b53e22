import { createClient } from "@connectrpc/connect";
import { type Worker, WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { limits } from "../base/limits.ts";
import type { Connection } from "./connection.ts";
import { verdictOfThrown } from "./failures.ts";
import { Transcript } from "./transcript.ts";
import { TranscriptReader } from "./transcript-reader.ts";

/** A worker, and the position that its description includes: a watch from there neither repeats nor misses anything. */
export interface WorkerAnswer {
  readonly worker: Worker;
  readonly cursor: string;
  readonly revision: string;
}

/** Reads what is known of workers. Everything throws TailraceError; nothing is retried. */
export interface Workers {
  /** All workers in the order of their ids, read page by page. */
  list(options?: { signal?: AbortSignal }): AsyncGenerator<Worker, undefined>;
  /** One worker. @throws TailraceError `worker_not_found`. */
  get(workerId: string, options?: { signal?: AbortSignal }): Promise<WorkerAnswer>;
  /**
   * The whole transcript of a worker at one instant, read page by page. `known`: what was read before; if it is still
   * true, it is given again without being sent again. @throws TailraceError `worker_not_found`.
   */
  transcript(workerId: string, options?: { signal?: AbortSignal; known?: Transcript }): Promise<Transcript>;
  /** Closes what is kept open between calls. */
  close(): void;
}

export function createWorkersOver(connection: Connection): Workers {
  const client = createClient(WorkerService, connection.transport);
  const reader = new TranscriptReader(connection);
  const callOptions = (options?: { signal?: AbortSignal }) => ({
    timeoutMs: limits.requestTimeoutMs,
    ...(options?.signal === undefined ? {} : { signal: options.signal }),
  });
  return {
    async *list(options) {
      let pageToken = "";
      do {
        const page = await client
          .listWorkers({ pageToken, pageSize: limits.maxWorkerPage }, callOptions(options))
          .catch(rethrow);
        yield* page.workers;
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return undefined;
    },
    async get(workerId, options) {
      const { worker, cursor, revision } = await client.getWorker({ workerId }, callOptions(options)).catch(rethrow);
      return { worker: worker as Worker, cursor, revision };
    },
    async transcript(workerId, { signal, known } = {}) {
      const { state, ...at } = await reader
        .read(workerId, {
          ...(signal === undefined ? {} : { signal }),
          ...(known === undefined ? {} : { ifRevisionNot: known.revision }),
        })
        .catch(rethrow);
      return state === undefined ? (known as Transcript).at(at.cursor) : new Transcript(workerId, at, state);
    },
    close: () => connection.close?.(),
  };
}

function rethrow(thrown: unknown): never {
  throw verdictOfThrown(thrown).error;
}
