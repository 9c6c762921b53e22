import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { type Connection, openConnection, type ServerOptions } from "./connection.ts";
import type { WatchOptions } from "./options.ts";
import { createPublisherOver, type Publisher, type PublisherOptions } from "./publisher.ts";
import { ResumableWatch, type Watch } from "./watch.ts";
import { createWorkersOver, type Workers } from "./workers.ts";

/** Watches events over whatever connections it takes. @throws TailraceError `invalid_request` for options that make no sense. */
export function watch(options: WatchOptions): Watch {
  return new ResumableWatch(options, openConnection(options, connect));
}

/** Publishes events in order, each once, over whatever connections it takes. */
export function createPublisher(options: PublisherOptions): Publisher {
  return createPublisherOver(openConnection(options, connect), options);
}

/** Reads what is known of workers. */
export function createWorkers(options: ServerOptions): Workers {
  return createWorkersOver(openConnection(options, connect));
}

function connect(options: { baseUrl: string }, interceptors: Interceptor[]): Connection {
  const { baseUrl } = options;
  return { transport: createConnectTransport({ baseUrl, interceptors, useBinaryFormat: true }), binary: true };
}
