import { request as http1Request, type IncomingHttpHeaders } from "node:http";
import { connect } from "node:http2";
import { request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { onTestFinished } from "vitest";

export interface OpenOptions {
  readonly headers?: Record<string, string>;
  readonly version?: "http1" | "http2";
  /** Certificate to trust, in PEM. */
  readonly ca?: string;
}

/** Reads an event stream over a real socket, at the speed of the test: what nobody asks for stays in the socket. */
export class SseReader {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Fields that the parser did not take for messages: comments and retry times. */
  readonly retries: number[] = [];
  readonly #body: Readable;
  readonly #abandon: () => void;
  readonly #messages: EventSourceMessage[] = [];
  #text = "";
  #ended = false;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(status: number, headers: IncomingHttpHeaders, body: Readable, abandon: () => void) {
    this.status = status;
    this.headers = headers;
    this.#body = body;
    this.#abandon = abandon;
    const parser = createParser({
      onEvent: (message) => this.#messages.push(message),
      onRetry: (retry) => this.retries.push(retry),
      onError: (error) => {
        this.#failure = error;
      },
    });
    body.setEncoding("utf8");
    const isStream = headers["content-type"] === "text/event-stream";
    body.on("data", (text: string) => {
      this.#text += text;
      if (isStream) parser.feed(text);
      this.#wake();
    });
    body.on("end", () => this.#end());
    body.on("close", () => this.#end());
    body.on("error", (error) => {
      this.#failure ??= error;
      this.#end();
    });
  }

  /** Everything that came, as it came. */
  get text(): string {
    return this.#text;
  }

  /** The next message; undefined at the end of the stream. */
  async next(): Promise<EventSourceMessage | undefined> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The next message of one of these names, passing over others. @throws at the end of the stream. */
  async find(...names: string[]): Promise<EventSourceMessage> {
    for (;;) {
      const message = await this.next();
      if (message === undefined)
        throw new Error(`the stream ended before ${names.join(" or ")}: ${this.#text.slice(-500)}`);
      if (names.includes(message.event ?? "message")) return message;
    }
  }

  /** The next `count` messages of a name. */
  async take(count: number, name: string): Promise<EventSourceMessage[]> {
    const messages: EventSourceMessage[] = [];
    while (messages.length < count) messages.push(await this.find(name));
    return messages;
  }

  /** What is left, to the end of the stream. */
  async rest(): Promise<EventSourceMessage[]> {
    const messages: EventSourceMessage[] = [];
    for (let message = await this.next(); message !== undefined; message = await this.next()) messages.push(message);
    return messages;
  }

  /** The whole body of an answer that is no event stream. */
  async body(): Promise<string> {
    while (!this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#text;
  }

  /** Why the stream broke; undefined: it did not. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Stops reading from the socket. */
  pause(): void {
    this.#body.pause();
  }

  resume(): void {
    this.#body.resume();
  }

  /** Breaks the connection. */
  abandon(): void {
    this.#abandon();
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }
}

/** Opens `url`; the connection is broken at the latest when the test ends. */
export function openSse(url: string, options: OpenOptions = {}): Promise<SseReader> {
  return connectSse(url, options, onTestFinished);
}

/** Opens `url`. `atEnd` is told how to break the connection. Default: whoever opens it breaks it. */
export function connectSse(url: string, options: OpenOptions = {}, atEnd: AtEnd = () => undefined): Promise<SseReader> {
  return options.version === "http2" ? openHttp2(url, options, atEnd) : openHttp1(url, options, atEnd);
}

type AtEnd = (abandon: () => void) => void;

function openHttp1(url: string, { headers, ca }: OpenOptions, atEnd: AtEnd): Promise<SseReader> {
  const begin = url.startsWith("https:") ? httpsRequest : http1Request;
  return new Promise((resolve, reject) => {
    const request = begin(url, { headers: headers ?? {}, agent: false, ...(ca === undefined ? {} : { ca }) });
    atEnd(() => request.destroy());
    request.on("error", reject);
    request.on("response", (response) => {
      resolve(new SseReader(response.statusCode ?? 0, response.headers, response, () => request.destroy()));
    });
    request.end();
  });
}

function openHttp2(url: string, { headers, ca }: OpenOptions, atEnd: AtEnd): Promise<SseReader> {
  const { origin, pathname, search } = new URL(url);
  return new Promise((resolve, reject) => {
    const session = connect(origin, ca === undefined ? {} : { ca });
    atEnd(() => session.destroy());
    session.on("error", reject);
    const stream = session.request({ ":path": pathname + search, ...headers });
    stream.on("error", reject);
    stream.on("response", (answer) => {
      resolve(new SseReader(answer[":status"] ?? 0, answer as IncomingHttpHeaders, stream, () => session.destroy()));
    });
  });
}
