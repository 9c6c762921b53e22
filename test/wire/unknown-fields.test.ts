import { create, fromBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "vitest";
import { NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { WatchEventsResponseSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { positionAfter } from "../../src/log/block.ts";
import { blockOf, blockOfPending } from "./blocks.ts";
import { end, newForms, output, parseSse, textIn, unwrap, wholeRun } from "./frames.ts";

describe("what the schema does not know", () => {
  test("a kind passes unharmed in binary and is shown without its payload in JSON", () => {
    const { cursors, protobuf, json, sse } = newForms();
    const event = create(NewEventSchema, { workerId: "w" });
    event.$unknown = [{ no: 9999, wireType: WireType.LengthDelimited, data: new Uint8Array([2, 8, 1]) }];
    const block = blockOf([event, output("w", "after")]);
    expect(block.kinds[0]).toBe(9999);

    const response = fromBinary(
      WatchEventsResponseSchema,
      unwrap(protobuf.events([wholeRun(protobuf, block)], end(block))),
    );
    if (response.frame.case !== "events") throw new Error("no batch");
    expect(response.frame.value.events[0]?.$unknown).toEqual(event.$unknown);

    const [first, second] = parseSse(sse.events([wholeRun(sse, block)]));
    const shown = {
      cursor: cursors.encode(positionAfter(block, 0)),
      sequence: "1",
      workerSequence: "1",
      time: "2026-09-21T14:13:20Z",
      workerId: "w",
    };
    expect(first?.event).toBe("unknown");
    expect(JSON.parse(first?.data ?? "")).toEqual(shown);
    expect(second?.event).toBe("output");
    const message = JSON.parse(textIn(json.events([wholeRun(json, block)], end(block))));
    expect(message.events.events[0]).toEqual(shown);
  });

  test("fields inside and beside a payload pass unharmed in binary", () => {
    const { protobuf, json } = newForms();
    const event = output("w", "x");
    const unknown = [{ no: 14, wireType: WireType.Varint, data: new Uint8Array([7]) }];
    event.$unknown = unknown;
    if (event.payload.case === "output") event.payload.value.$unknown = unknown;
    const block = blockOf([event]);
    const { frame } = fromBinary(
      WatchEventsResponseSchema,
      unwrap(protobuf.events([wholeRun(protobuf, block)], end(block))),
    );
    const seen = frame.case === "events" ? frame.value.events[0] : undefined;
    expect(seen?.$unknown).toEqual(unknown);
    expect(seen?.payload.value?.$unknown).toEqual(unknown);
    const message = JSON.parse(textIn(json.events([wholeRun(json, block)], end(block))));
    expect(message.events.events[0].output).toEqual({ stream: "OUTPUT_STREAM_STDOUT", data: "eA==", offset: "5" });
  });

  test("a payload that JSON can't say is left out, and the events around it are not", () => {
    const { sse } = newForms();
    const event = create(NewEventSchema, {
      payload: { case: "narration", value: { message: "m", emitTime: { seconds: 2n ** 50n, nanos: 0 } } },
    });
    const block = blockOf([output("w", "1"), event, output("w", "2")]);
    const messages = parseSse(sse.events([wholeRun(sse, block)]));
    expect(messages.map(({ event }) => event)).toEqual(["output", "unknown", "output"]);
    expect(JSON.parse(messages[1]?.data ?? "").narration).toBeUndefined();
  });

  test("stored bytes that no longer decode end nothing", () => {
    const { sse } = newForms();
    const body = new Uint8Array([0xd2, 0x05, 0x05, 0x0a]);
    const block = blockOfPending([{ workerId: "", jobId: "", kind: 90, body }]);
    const [message] = parseSse(sse.events([wholeRun(sse, block)]));
    expect(message?.event).toBe("unknown");
    expect(Object.keys(JSON.parse(message?.data ?? ""))).toEqual(["cursor", "sequence"]);
  });
});
