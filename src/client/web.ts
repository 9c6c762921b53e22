import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import {
  type CommandServerOptions,
  type Connection,
  openCommandConnection,
  openConnection,
  type ServerOptions,
} from "./connection.ts";
import { createJobsOver, type Jobs } from "./jobs.ts";
import type { WatchOptions } from "./options.ts";
import { createPublisherOver, type Publisher, type PublisherOptions } from "./publisher.ts";
import { type JobWatch, type SubmitAndWatchOptions, submitAndWatchOver } from "./submit-and-watch.ts";
import { type FollowedTranscript, type FollowTranscriptOptions, followTranscriptOver } from "./transcript-follow.ts";
import { ResumableWatch, type Watch } from "./watch.ts";
import { createWorkersOver, type Workers } from "./workers.ts";

/** Watches events over whatever connections it takes. @throws TailraceError `invalid_request` for options that make no sense. */
export function watch(options: WatchOptions): Watch {
  return new ResumableWatch(options, openConnection(options, connect));
}

/** Publishes events in order, each once, over whatever connections it takes. */
export function createPublisher(options: PublisherOptions): Publisher {
  return createPublisherOver(openCommandConnection(options, connect), options);
}

/** Commands jobs. */
export function createJobs(options: CommandServerOptions): Jobs {
  return createJobsOver(openCommandConnection(options, connect));
}

/**
 * Submits a job at once and follows it, over whatever connections and restarts of the server it takes, without making a
 * second one. @throws TailraceError `invalid_request` for options that make no sense.
 */
export function submitAndWatch(options: SubmitAndWatchOptions): JobWatch {
  const connections = {
    command: () => openCommandConnection(options, connect),
    watch: () => openConnection(options, connect),
  };
  return submitAndWatchOver(connections, options);
}

/** Follows the transcript of a worker over whatever connections it takes. @throws TailraceError `invalid_request`. */
export function followTranscript(options: FollowTranscriptOptions): FollowedTranscript {
  return followTranscriptOver(options, () => openConnection(options, connect));
}

/** Reads what is known of workers. */
export function createWorkers(options: ServerOptions): Workers {
  return createWorkersOver(openConnection(options, connect));
}

function connect(options: { baseUrl: string }, interceptors: Interceptor[]): Connection {
  const { baseUrl } = options;
  return { transport: createConnectTransport({ baseUrl, interceptors, useBinaryFormat: true }), binary: true };
}
