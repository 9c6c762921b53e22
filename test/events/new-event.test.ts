import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { OutputChunkSchema } from "../../gen/tailrace/v1/payloads_pb.ts";
import { newEventOf } from "../../src/events/new-event.ts";

type Init = MessageInitShape<typeof NewEventSchema>;

const some = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const text = fc.oneof(fc.string(), fc.constant(null));
const data = fc.oneof(
  fc.uint8Array(),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.constant([1, 2, 3]),
  fc.constant(null),
);
const chunk = fc.record(
  {
    data: some(data),
    stream: some(fc.oneof(fc.nat(3), fc.constant(null))),
    offset: some(fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 60n }), fc.constant(null))),
    other: fc.string(),
  },
  { requiredKeys: [] },
);
const value = fc.oneof(
  chunk,
  chunk.map((init) => create(OutputChunkSchema, init as MessageInitShape<typeof OutputChunkSchema>)),
);
const init = fc.record(
  {
    workerId: some(text),
    jobId: some(text),
    correlationId: some(text),
    producerTime: some(fc.nat().map((ms) => timestampFromMs(ms))),
    payload: fc.oneof(
      { weight: 5, arbitrary: value.map((of) => ({ case: "output", value: of })) },
      fc.constant({ case: "output", value: undefined }),
      fc.constant({ case: "narration", value: { action: "execute", message: "hello" } }),
      fc.constant({ case: undefined }),
      fc.constant(undefined),
    ),
    other: fc.string(),
  },
  { requiredKeys: [] },
);

test("the message of an event is the one that protobuf-es makes of it", () => {
  fc.assert(
    fc.property(init, (given) => {
      const made = newEventOf(given as Init);
      expect(made).toStrictEqual(create(NewEventSchema, given as Init));
    }),
    { numRuns: 2_000 },
  );
});

test("a message is taken as it is", () => {
  const message: NewEvent = create(NewEventSchema, {
    workerId: "w",
    payload: { case: "output", value: { data: new Uint8Array([1]) } },
  });
  expect(newEventOf(message)).toBe(message);
});
