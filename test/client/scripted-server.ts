import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { onTestFinished } from "vitest";
import { type Event, EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import {
  EventStreamService,
  type WatchEventsRequest,
  WatchEventsResponseSchema,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { CursorCodec, decodeCursor, origin, type Position } from "../../src/events/cursor.ts";

export type FrameInit = NonNullable<MessageInitShape<typeof WatchEventsResponseSchema>["frame"]>;

/** Answers a watch: yields frames, then may throw. `attempt` counts the watches of this server from 1. */
export type WatchScript = (
  request: WatchEventsRequest,
  context: HandlerContext,
  attempt: number,
) => AsyncIterable<FrameInit>;

export interface ScriptedServer {
  readonly url: string;
  readonly port: number;
  /** The watches that were asked for so far. */
  readonly requests: readonly WatchEventsRequest[];
  /** Resets every connection and stops listening. */
  kill(): Promise<void>;
}

export interface ScriptedServices {
  watch?: WatchScript;
  publish?: ServiceImpl<typeof PublisherService>["publishEvents"];
  workers?: Partial<ServiceImpl<typeof WorkerService>>;
  http2?: boolean;
  port?: number;
}

/**
 * A Connect server that does what a test says, also what no Tailrace server would: for faults, and for what the client does
 * about frames that are rare. Stopped when the test ends.
 */
export async function startScriptedServer(services: ScriptedServices): Promise<ScriptedServer> {
  const requests: WatchEventsRequest[] = [];
  const adapter = connectNodeAdapter({
    acceptCompression: [],
    routes(router) {
      const { watch, publish, workers } = services;
      if (watch !== undefined) {
        router.service(EventStreamService, {
          async *watchEvents(request, context) {
            requests.push(request);
            for await (const frame of watch(request, context, requests.length)) {
              yield create(WatchEventsResponseSchema, { frame });
            }
          },
        });
      }
      if (publish !== undefined) router.service(PublisherService, { publishEvents: publish });
      if (workers !== undefined) router.service(WorkerService, workers);
    },
  });
  const server = services.http2 ? createHttp2Server(adapter) : createHttpServer(adapter);
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => sockets.delete(socket));
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(services.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const kill = async () => {
    if (!server.listening) return;
    server.close();
    for (const socket of sockets) socket.resetAndDestroy();
    await once(server, "close");
  };
  onTestFinished(kill);
  return { url: `http://127.0.0.1:${port}`, port, requests, kill };
}

/** A log of one worker's events to script watches with. */
export class ScriptedLog {
  readonly events: Event[] = [];
  #codec: CursorCodec;
  #wake = new Set<() => void>();

  constructor(generation = 1n) {
    this.#codec = new CursorCodec("runtime", generation);
  }

  cursor(sequence: number): string {
    const position: Position = { ...origin, sequence, ordinal: sequence };
    return this.#codec.encode(position);
  }

  /** Adds events that say their own number. */
  add(count: number, text = ""): void {
    for (let i = 0; i < count; i++) {
      const sequence = this.events.length + 1;
      this.events.push(
        create(EventSchema, {
          cursor: this.cursor(sequence),
          sequence: BigInt(sequence),
          workerSequence: BigInt(sequence),
          workerId: "w",
          payload: { case: "narration", value: { action: "n", message: `${sequence}${text}` } },
        }),
      );
    }
    for (const wake of this.#wake) wake();
  }

  opened(after: number, heartbeatMs = 15_000): FrameInit {
    return {
      case: "opened",
      value: {
        runtimeId: "runtime",
        cursor: this.cursor(after),
        earliestCursor: this.cursor(0),
        latestCursor: this.cursor(this.events.length),
        heartbeatInterval: durationFromMs(heartbeatMs),
      },
    };
  }

  batch(after: number, count: number): FrameInit {
    const events = this.events.slice(after, after + count);
    return {
      case: "events",
      value: { events, cursor: this.cursor(after + events.length), runtimeId: "runtime" },
    };
  }

  /** Where a request begins. */
  startOf(request: WatchEventsRequest): number {
    return request.start.case === "cursor" ? decodeCursor(request.start.value).position.sequence : 0;
  }

  /** Everything after the request's cursor in batches, then what is added, until the reader leaves. */
  async *follow(
    request: WatchEventsRequest,
    context: HandlerContext,
    batchSize = 10,
    heartbeatMs?: number,
  ): AsyncGenerator<FrameInit> {
    let after = this.startOf(request);
    yield this.opened(after, heartbeatMs);
    while (!context.signal.aborted) {
      while (after < this.events.length && !context.signal.aborted) {
        yield this.batch(after, batchSize);
        after = Math.min(after + batchSize, this.events.length);
      }
      await this.#more(context.signal);
    }
  }

  async #more(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.#wake.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#wake.add(wake);
      signal.addEventListener("abort", wake);
      if (signal.aborted) wake();
    });
  }
}

/** Waits, without a frame, until the reader leaves. */
export async function silence(context: HandlerContext): Promise<void> {
  if (context.signal.aborted) return;
  await once(context.signal, "abort");
}

/** The numbers 1 to `count`. */
export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}
