// The plain Connect handler that users write today: an async generator over a queue of its own for every subscriber.
import { createServer as createHttp1 } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import type { WatchEventsResponse } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import {
  EventStreamService,
  StartAt,
  WatchEventsResponseSchema,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { OutputStream } from "../../gen/tailrace/v1/payloads_pb.ts";
import { optionalArgument } from "../harness/arguments.ts";
import { bytesOf, control } from "./control.ts";
import { History } from "./history.ts";

const cursor = "A".repeat(62);

class Subscriber {
  readonly queue: WatchEventsResponse[] = [];
  readonly worker: string | undefined;
  wake: (() => void) | undefined;

  constructor(worker: string | undefined) {
    this.worker = worker;
  }
}

const subscribers = new Set<Subscriber>();
const history = new History<WatchEventsResponse>();

function routes(router: ConnectRouter): void {
  router.service(EventStreamService, {
    async *watchEvents(request, context) {
      const subscriber = new Subscriber(request.workerIds[0]);
      if (request.start.case === "startAt" && request.start.value === StartAt.EARLIEST) {
        for (const message of history.entries) subscriber.queue.push(message);
      }
      subscribers.add(subscriber);
      context.signal.addEventListener("abort", () => {
        subscribers.delete(subscriber);
        subscriber.wake?.();
      });
      // Headers leave with the first message.
      yield { frame: { case: "opened", value: { runtimeId: "bench", cursor } } };
      for (let next = 0; !context.signal.aborted; ) {
        const message = subscriber.queue[next];
        if (message !== undefined) {
          next++;
          yield message;
          continue;
        }
        subscriber.queue.length = 0;
        next = 0;
        await new Promise<void>((resolve) => {
          subscriber.wake = resolve;
        });
      }
    },
  });
}

const listener = connectNodeAdapter({ routes });
const http2 = optionalArgument("--http") === "2";
const server = http2 ? createHttp2(listener) : createHttp1(listener);
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  control({
    port: (server.address() as AddressInfo).port,
    publish(events) {
      for (const event of events) {
        const workerId = `bench-${event.worker}`;
        const message = create(WatchEventsResponseSchema, {
          frame: {
            case: "events",
            value: {
              cursor,
              events: [
                create(EventSchema, {
                  cursor,
                  sequence: BigInt(event.sequence),
                  workerSequence: BigInt(event.sequence),
                  time: timestampNow(),
                  workerId,
                  payload: { case: "output", value: { stream: OutputStream.STDOUT, data: bytesOf(event) } },
                }),
              ],
            },
          },
        });
        history.add(message);
        for (const subscriber of subscribers) {
          if (subscriber.worker !== undefined && subscriber.worker !== workerId) continue;
          subscriber.queue.push(message);
          subscriber.wake?.();
        }
      }
    },
  });
});
