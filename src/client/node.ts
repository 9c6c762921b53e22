import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { limits } from "../base/limits.ts";
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

/** What only Node can choose. */
export interface NodeOptions {
  /** Version of HTTP. Over "2" without TLS the server must speak it in clear text, as Tailrace does. Default: "1.1". */
  readonly httpVersion?: "1.1" | "2";
  /** Certificates and keys in PEM form, for a server with a private authority (`ca`) or mutual TLS (`cert`, `key`). */
  readonly tls?: { readonly ca?: string | Buffer; readonly cert?: string | Buffer; readonly key?: string | Buffer };
}

export type NodeWatchOptions = WatchOptions & NodeOptions;
export type NodePublisherOptions = PublisherOptions & NodeOptions;
export type NodeSubmitAndWatchOptions = SubmitAndWatchOptions & NodeOptions;

/** Watches events over whatever connections it takes. @throws TailraceError `invalid_request` for options that make no sense. */
export function watch(options: NodeWatchOptions): Watch {
  return new ResumableWatch(options, openConnection(options, connect));
}

/** Publishes events in order, each once, over whatever connections it takes. */
export function createPublisher(options: NodePublisherOptions): Publisher {
  return createPublisherOver(openCommandConnection(options, connect), options);
}

/** Commands jobs. */
export function createJobs(options: CommandServerOptions & NodeOptions): Jobs {
  return createJobsOver(openCommandConnection(options, connect));
}

/**
 * Submits a job at once and follows it, over whatever connections and restarts of the server it takes, without making a
 * second one. @throws TailraceError `invalid_request` for options that make no sense.
 */
export function submitAndWatch(options: NodeSubmitAndWatchOptions): JobWatch {
  const connections = {
    command: () => openCommandConnection(options, connect),
    watch: () => openConnection(options, connect),
  };
  return submitAndWatchOver(connections, options);
}

/** Follows the transcript of a worker over whatever connections it takes. @throws TailraceError `invalid_request`. */
export function followTranscript(options: FollowTranscriptOptions & NodeOptions): FollowedTranscript {
  return followTranscriptOver(options, () => openConnection(options, connect));
}

/** Reads what is known of workers. */
export function createWorkers(options: ServerOptions & NodeOptions): Workers {
  return createWorkersOver(openConnection(options, connect));
}

function connect(options: ServerOptions & NodeOptions & { baseUrl: string }, interceptors: Interceptor[]): Connection {
  const common = {
    baseUrl: options.baseUrl,
    interceptors,
    useBinaryFormat: true,
    // The frames of a watch are shared among watchers; compressing them for each one would undo that.
    acceptCompression: [],
    readMaxBytes: maxResponseBytes,
  };
  const tls = { ...options.tls };
  if (options.httpVersion !== "2") {
    return { transport: createConnectTransport({ ...common, httpVersion: "1.1", nodeOptions: tls }), binary: true };
  }
  const sessionManager = new Http2SessionManager(options.baseUrl, {}, tls);
  return {
    transport: createConnectTransport({ ...common, httpVersion: "2", sessionManager }),
    binary: true,
    reset: () => sessionManager.abort(),
    close: () => sessionManager.abort(),
  };
}

/** A frame has at most `maxFrameBytes`; what is around it takes little. */
const maxResponseBytes = 4 * limits.maxFrameBytes;
