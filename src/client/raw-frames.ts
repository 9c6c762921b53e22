import type { DescService } from "@bufbuild/protobuf";
import { type CallOptions, createClient, type Transport } from "@connectrpc/connect";
import {
  EventBatchSchema,
  EventStreamService,
  type WatchEventsRequest,
  type WatchEventsResponse,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { withRawField } from "../events/raw-schema.ts";
import { EventDecoder } from "./decode-event.ts";

/** Calls WatchEvents. */
export type CallWatchEvents = (request: WatchEventsRequest, options: CallOptions) => AsyncIterable<WatchEventsResponse>;

/** WatchEvents as Connect decodes it: in any format. */
export function callWatchEvents(transport: Transport): CallWatchEvents {
  const client = createClient(EventStreamService, transport);
  return (request, options) => client.watchEvents(request, options);
}

/**
 * The same over a transport that is known to use the binary format: Connect decodes the frames only down to the bytes of
 * each event, and `EventDecoder` does the rest. To Connect it is the same service with a schema in which an event is bytes,
 * which on the wire is the same thing.
 */
export function callWatchEventsBinary(transport: Transport): CallWatchEvents {
  rawService ??= withRawField(EventStreamService, EventBatchSchema, "events");
  const client = createClient(rawService, transport) as unknown as ReturnType<
    typeof createClient<typeof EventStreamService>
  >;
  return async function* decoded(request, options) {
    const decoder = new EventDecoder();
    for await (const response of client.watchEvents(request, options)) {
      if (response.frame.case === "events") {
        const batch = response.frame.value;
        batch.events = (batch.events as unknown as Uint8Array[]).map((bytes) => decoder.decode(bytes));
      }
      yield response;
    }
  };
}

/** Made when it is first wanted: it costs some milliseconds. */
let rawService: DescService | undefined;
