// A streaming handler on @grpc/grpc-js, as its documentation shows it: one write per event and subscriber.
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { bytesOf, control } from "./control.ts";
import { History } from "./history.ts";

interface WatchRequest {
  readonly worker_ids: readonly string[];
  readonly start_at: string;
}
type Call = grpc.ServerWritableStream<WatchRequest, object>;

const cursor = "A".repeat(62);
const root = join(import.meta.dirname, "../../proto");
const definition = loadSync("tailrace/v1/event_stream_service.proto", {
  includeDirs: [root],
  keepCase: true,
  enums: String,
  arrays: true,
});
const { tailrace } = grpc.loadPackageDefinition(definition) as unknown as {
  tailrace: { v1: { EventStreamService: { service: grpc.ServiceDefinition } } };
};

const calls = new Set<Call>();
const history = new History<object>();

async function replay(call: Call): Promise<void> {
  for (let index = 0; index < history.entries.length && !call.cancelled; index++) {
    if (!call.write(history.entries[index] as object)) await new Promise((resolve) => call.once("drain", resolve));
  }
}

const server = new grpc.Server();
server.addService(tailrace.v1.EventStreamService.service, {
  WatchEvents(call: Call) {
    call.write({ opened: { runtime_id: "bench", cursor } });
    call.on("cancelled", () => calls.delete(call));
    const follow = (): void => {
      calls.add(call);
    };
    if (call.request.start_at === "START_AT_EARLIEST") void replay(call).then(follow);
    else follow();
  },
});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  control({
    port,
    publish(events) {
      for (const event of events) {
        const worker_id = `bench-${event.worker}`;
        const now = Date.now();
        const message = {
          events: {
            cursor,
            events: [
              {
                cursor,
                sequence: event.sequence,
                worker_sequence: event.sequence,
                time: { seconds: Math.floor(now / 1000), nanos: (now % 1000) * 1e6 },
                worker_id,
                output: { stream: 1, data: bytesOf(event) },
              },
            ],
          },
        };
        history.add(message);
        for (const call of calls) {
          if (call.request.worker_ids.length > 0 && call.request.worker_ids[0] !== worker_id) continue;
          call.write(message);
        }
      }
    },
  });
});
