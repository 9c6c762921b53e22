import { fromBinary, fromJsonString } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { WatchEventsResponseSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { limits } from "../../src/base/limits.ts";
import type { Scope } from "../../src/log/contract.ts";
import type { WatchSink, WireForm } from "../../src/stream/form.ts";
import { envelopeHeaderBytes } from "../../src/wire/envelope.ts";
import { createForms } from "../../src/wire/forms.ts";
import { TailWorld } from "../stream/world.ts";

/** Sequences of the events in a frame, and the cursor that it leads to. */
type Read = (frame: Buffer) => { readonly sequences: readonly number[]; readonly cursor: string };

const readBinary: Read = (frame) =>
  eventsOf(fromBinary(WatchEventsResponseSchema, frame.subarray(envelopeHeaderBytes)));
const readJson: Read = (frame) =>
  eventsOf(fromJsonString(WatchEventsResponseSchema, frame.toString("utf8", envelopeHeaderBytes)));

function eventsOf({ frame }: ReturnType<typeof fromBinary<typeof WatchEventsResponseSchema>>): ReturnType<Read> {
  if (frame.case !== "events") return { sequences: [], cursor: "" };
  return { sequences: frame.value.events.map(({ sequence }) => Number(sequence)), cursor: frame.value.cursor };
}

const readSse: Read = (frame) => {
  const sequences: number[] = [];
  let cursor = "";
  for (const text of frame.toString("utf8").split("\n\n")) {
    const [event, data, id] = text.split("\n");
    if (event === undefined || data === undefined || !/^event: (output|worker_created)$/.test(event)) continue;
    sequences.push(Number(fromJsonString(EventSchema, data.slice("data: ".length)).sequence));
    cursor = (id ?? "").slice("id: ".length);
  }
  return { sequences, cursor };
};

/** Bytes of output in one event, and how many of them make a batch several times as large as a frame. */
const sizes = [1_000, 60_000, limits.maxEventBytes - 400];
const batchBytes = 3.5 * limits.maxFrameBytes;

const scopes: readonly Scope[] = [{ kind: "runtime" }, { kind: "workers", workerIds: ["wanted"] }];

function sinkOf(frames: Buffer[]): WatchSink<Uint8Array> {
  return {
    write: (frame) => {
      // A copy: what was handed over must be right now, and later is another promise.
      frames.push(Buffer.from(frame));
      return true;
    },
    end: () => undefined,
  };
}

test.each([
  ["binary", "protobuf", readBinary],
  ["JSON", "json", readJson],
  ["SSE", "sse", readSse],
] as const)("a batch larger than a frame is cut between events, live and replayed: %s", async (_, name, read) => {
  for (const size of sizes) {
    for (const scope of scopes) {
      const world = new TailWorld();
      // biome-ignore lint/suspicious/noExplicitAny: what a form keeps per block is its own matter.
      const form: WireForm<any, Uint8Array> = createForms(world.cursors)[name];
      const open = async (): Promise<Buffer[]> => {
        const frames: Buffer[] = [];
        const spec = { scope, kinds: undefined, start: { kind: "earliest" } as const, heartbeatMs: 15_000 };
        await world.tail.open(
          { ...spec, continueWithGap: false, waitIfMissing: true },
          form,
          sinkOf(frames),
          new AbortController().signal,
        );
        await world.rest();
        return frames;
      };
      const live = await open();
      const count = Math.ceil(batchBytes / size);
      await world.publish("wanted", count, { case: "output", value: { data: Buffer.alloc(size, "x") } });
      await world.rest();
      const replayed = await open();
      for (let turns = 0; turns < 20; turns++) await world.rest();
      const expected = Array.from({ length: count }, (_event, index) => index + 1);
      for (const frames of [live, replayed]) {
        const parts = frames.map(read).filter(({ sequences }) => sequences.length > 0);
        expect(parts.length).toBeGreaterThan(3);
        expect(parts.flatMap(({ sequences }) => sequences)).toEqual(expected);
        for (const { length } of frames) {
          // What base64 adds to an event's bytes is not the limit's matter where one event is all there is.
          if (size <= 60_000) expect(length).toBeLessThanOrEqual(limits.maxFrameBytes);
        }
        // Each frame leads to its own last event: whoever comes back with that misses nothing.
        for (const { sequences, cursor } of parts) {
          expect(world.cursors.decode(cursor).position.sequence).toBe(sequences.at(-1));
        }
      }
      world.tail.close();
    }
  }
});
