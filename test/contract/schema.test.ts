import { type DescField, ScalarType } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { EventKind, EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { kindByCase, kindName } from "../../src/events/kinds.ts";
import { enumOf, files, hasPath, messageOf, schema } from "./descriptors.ts";

const event = messageOf("Event");
const newEvent = messageOf("NewEvent");

function shape({ name, number, jsonName, fieldKind, scalar, message, enum: enumType, oneof }: DescField): object {
  return {
    name,
    number,
    jsonName,
    fieldKind,
    scalar,
    type: message?.typeName ?? enumType?.typeName,
    oneof: oneof?.name,
  };
}

describe("Event and NewEvent", () => {
  it("agree field by field in all that a producer says", () => {
    expect(newEvent.fields.map(shape)).toEqual(event.fields.filter(({ number }) => number > 4).map(shape));
  });

  it("keep apart what the runtime assigns, so that nothing can be forged", () => {
    expect(event.fields.filter(({ number }) => number <= 4).map(({ name }) => name)).toEqual([
      "cursor",
      "sequence",
      "worker_sequence",
      "time",
    ]);
    const ranges = newEvent.proto.reservedRange.map(({ start, end }) => [start, end]);
    // The end is exclusive.
    expect(ranges).toEqual([[1, 5]]);
    expect(newEvent.proto.reservedName).toEqual(["cursor", "sequence", "worker_sequence", "time"]);
  });

  it("begin with fields of fixed width, which are put in front of a stored event", () => {
    for (const name of ["sequence", "worker_sequence"]) {
      const field = event.fields.find((candidate) => candidate.name === name);
      expect(field?.scalar).toBe(ScalarType.FIXED64);
    }
  });

  it("have a kind for every payload, with its number and name", () => {
    const payloads = event.fields.filter(({ oneof }) => oneof?.name === "payload");
    expect(payloads.every(({ number }) => number >= 16)).toBe(true);
    const kinds = enumOf("EventKind").values.filter(({ number }) => number !== 0);
    expect(kinds.map(({ number, name }) => [number, name])).toEqual(
      payloads.map(({ number, name }) => [number, `EVENT_KIND_${name.toUpperCase()}`]),
    );
    for (const { localName, number, name } of payloads) {
      expect(kindByCase.get(localName)).toBe(number);
      expect(kindName(number)).toBe(name);
    }
  });

  it("are generated from the schema of today", () => {
    expect(EventSchema.fields.map(shape)).toEqual(event.fields.map(shape));
    expect(Object.values(EventKind).filter((value) => typeof value === "number")).toEqual(
      enumOf("EventKind").values.map(({ number }) => number),
    );
  });
});

describe("names", () => {
  it.each([
    ["Event", ["output", "narration", "custom"]],
    ["OutputChunk", ["stream", "data", "offset"]],
    ["Narration", ["action", "message", "level"]],
    ["CustomEvent", ["type", "content_type", "data"]],
    ["EventBatch", ["events", "cursor", "runtime_id"]],
    ["CursorExpired", ["lost_events", "lost_exact", "earliest_cursor", "latest_cursor"]],
    ["Gap", ["lost_events", "lost_exact", "earliest_cursor", "latest_cursor"]],
    ["StreamDiagnostic", ["severity", "message", "cursor", "cursor_expired", "gap"]],
    ["WatchEventsRequest", ["cursor", "start_at", "since", "last", "kinds", "on_expired", "if_missing"]],
  ])("that others rely on stay: %s", (message, names) => {
    for (const name of names) expect(hasPath(messageOf(message), name)).toBe(true);
  });

  it.each([
    ["OutputStream", ["OUTPUT_STREAM_STDOUT", "OUTPUT_STREAM_STDERR"]],
    ["StartAt", ["START_AT_EARLIEST", "START_AT_LATEST"]],
    ["OnExpired", ["ON_EXPIRED_FAIL", "ON_EXPIRED_CONTINUE_WITH_GAP"]],
  ])("that others rely on stay: %s", (name, values) => {
    expect(enumOf(name).values.map((value) => value.name)).toEqual(expect.arrayContaining(values));
  });

  it("of frames and payloads collide neither with each other nor with what EventSource owns", () => {
    const frames = messageOf("WatchEventsResponse").fields.map(({ name }) => name);
    const payloads = event.fields.filter(({ oneof }) => oneof !== undefined).map(({ name }) => name);
    const names = [...frames, ...payloads, "unknown"];
    expect(new Set(names).size).toBe(names.length);
    for (const taken of ["error", "open", "message"]) expect(names).not.toContain(taken);
  });

  it("are the same in every start of a watch and of a page", () => {
    const start = (name: string) =>
      messageOf(name)
        .oneofs.find((oneof) => oneof.name === "start")
        ?.fields.map(shape);
    expect(start("ListEventsRequest")).toEqual(start("WatchEventsRequest"));
  });
});

describe("services", () => {
  const services = files.flatMap((file) => file.services);

  it("are these", () => {
    const methods = services.map(({ name, methods }) => [name, methods.map((method) => method.name)]);
    expect(Object.fromEntries(methods)).toMatchObject({
      EventStreamService: ["WatchEvents", "ListEvents"],
      WorkerService: expect.arrayContaining(["ListWorkers", "GetWorker"]),
      PublisherService: ["PublishEvents"],
    });
  });

  it.each(["EventStreamService", "WorkerService"])("that observe change nothing: %s", (name) => {
    const service = schema.getService(`tailrace.v1.${name}`);
    for (const method of service?.methods ?? []) {
      expect(method.name).toMatch(/^(?:Watch|List|Get)[A-Z]/);
      expect(["unary", "server_streaming"]).toContain(method.methodKind);
      // A stream can't be a GET, which is what the option allows; its name and this test hold it to the same.
      if (method.methodKind === "unary") {
        expect(method.idempotency).toBe(MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS);
      }
      const taken = JSON.stringify(method.input.fields.map(({ message }) => message?.typeName));
      for (const written of ["NewEvent", "Event"]) expect(taken).not.toContain(`"tailrace.v1.${written}"`);
    }
  });

  it("that publish say that they do", () => {
    const publish = schema.getService("tailrace.v1.PublisherService")?.methods ?? [];
    for (const method of publish) expect(method.idempotency).not.toBe(MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS);
  });

  it("have requests and responses of their own", () => {
    for (const { methods } of services) {
      for (const { name, input, output } of methods) {
        expect([input.name, output.name]).toEqual([`${name}Request`, `${name}Response`]);
      }
    }
  });
});
