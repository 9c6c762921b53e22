import type { ServerResponse } from "node:http";

/** What Node keeps for each connection of HTTP/1.1 to read requests with, as far as it matters here. Not documented. */
interface HttpParser {
  readonly _consumed: boolean;
  incoming: unknown;
  unconsume(): void;
  remove(): void;
  close(): void;
}

/** Answers whose parsers can go as soon as none of them is at work. */
let waiting: ServerResponse[] = [];
let soon: NodeJS.Immediate | undefined;

/**
 * Lets go of the parser of a connection whose answer is its last one: 10 KB of native memory, more than half of what a
 * watch holds. It goes as Node lets go of it when a connection closes; what the peer still sends is read and dropped, so
 * that its end is seen. A Node that has it otherwise keeps it.
 */
export function releaseParser(response: ServerResponse): void {
  // Not from within the parser, which is where requests are handed out.
  waiting.push(response);
  soon ??= setImmediate(releaseWaitingParsers);
}

/**
 * Lets go of the parsers that wait for it now. Only from where no parser can be at work. A burst of connections is one
 * turn of the event loop: without this it would hold the parsers of all of them at once, which leaves holes of 10 KB all
 * over the heap of the process for good.
 */
export function releaseWaitingParsers(): void {
  if (soon === undefined) return;
  clearImmediate(soon);
  soon = undefined;
  const responses = waiting;
  waiting = [];
  for (const response of responses) release(response);
}

function release(response: ServerResponse): void {
  const { req: request, socket } = response;
  if (socket === null || socket.destroyed || response.writableEnded || !request.complete) return;
  const holder = socket as { parser?: unknown };
  const { parser } = holder;
  // Another request that was sent ahead has its own answer to come.
  if (!isParser(parser) || parser.incoming !== request) return;
  if (parser._consumed) parser.unconsume();
  parser.remove();
  parser.incoming = null;
  holder.parser = null;
  parser.close();
  socket.resume();
}

function isParser(value: unknown): value is HttpParser {
  if (typeof value !== "object" || value === null) return false;
  const parser = value as Partial<HttpParser>;
  return [parser.unconsume, parser.remove, parser.close].every((method) => typeof method === "function");
}
