import { toJson } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import {
  EventStreamService,
  type WatchEventsResponse,
  WatchEventsResponseSchema,
} from "./gen/tailrace/v1/event_stream_service_pb.ts";

const [baseUrl = "", cursor] = process.argv.slice(2);
const client = createClient(EventStreamService, createConnectTransport({ baseUrl, httpVersion: "1.1" }));
const frames: AsyncIterable<WatchEventsResponse> = client.watchEvents(
  cursor === undefined ? {} : { start: { case: "cursor", value: cursor } },
);
for await (const frame of frames) process.stdout.write(`${JSON.stringify(toJson(WatchEventsResponseSchema, frame))}\n`);
