import { join } from "node:path";
import {
  type ClientReadableStream,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { expect, it, onTestFinished } from "vitest";
import { serve } from "../support/serving.ts";
import { checkout, sightingOfFrames } from "./program.ts";
import { type ForeignWatch, watchLeaveResume } from "./scenario.ts";

interface DynamicClient {
  watchEvents(request: object): ClientReadableStream<unknown>;
  close(): void;
}

/** A client whose messages come from the proto files at run time: nothing of protobuf-es or Connect takes part. */
function connect(url: string): DynamicClient {
  const definition = loadSync("tailrace/v1/event_stream_service.proto", {
    includeDirs: [join(checkout, "proto")],
    longs: String,
    enums: String,
    oneofs: true,
  });
  const { tailrace } = loadPackageDefinition(definition) as { tailrace: GrpcObject };
  const { EventStreamService } = tailrace["v1"] as unknown as {
    EventStreamService: new (host: string, channel: unknown) => DynamicClient;
  };
  const client = new EventStreamService(new URL(url).host, credentials.createInsecure());
  onTestFinished(() => client.close());
  return client;
}

function watch(url: string, cursor: string | undefined): ForeignWatch {
  const call = connect(url).watchEvents(cursor === undefined ? {} : { cursor });
  const frames: unknown[] = [];
  let failure: Error | undefined;
  let wake: () => void = () => undefined;
  call.on("data", (frame) => {
    frames.push(frame);
    wake();
  });
  call.on("error", (error) => {
    failure = error;
    wake();
  });
  return {
    async until(count) {
      for (;;) {
        const sighting = sightingOfFrames(frames);
        if (sighting.ids.length >= count) return sighting;
        if (failure !== undefined) throw failure;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    async stop() {
      call.cancel();
    },
  };
}

it("a client of grpc-js and proto-loader watches, vanishes and resumes", async () => {
  await watchLeaveResume(watch);
});

it("a client of grpc-js and proto-loader gets a typed error", async () => {
  const { server } = await serve();
  const call = connect(server.url).watchEvents({ cursor: "none" });
  const frames: { frame?: string; diagnostic?: { reason?: string } }[] = [];
  call.on("data", (frame) => frames.push(frame));
  const error = await new Promise<ServiceError>((resolve) => call.on("error", resolve as (error: Error) => void));
  expect(error.code).toBe(3);
  expect(error.metadata.get("grpc-status-details-bin")).toHaveLength(1);
  expect(frames).toMatchObject([{ frame: "diagnostic", diagnostic: { reason: "cursorMalformed" } }]);
});
