import { fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { hasReason } from "../../src/base/errors.ts";
import { anyMessage } from "../wire/arbitrary.ts";
import { memoryRuntime } from "./support.ts";

/** What a fresh runtime makes of a batch: what it is refused for, or what it puts into its log. */
async function outcome(events: readonly (NewEvent | Uint8Array)[]): Promise<unknown> {
  const { runtime, log } = memoryRuntime();
  const stored: unknown[] = [];
  log.subscribe(({ length, kinds, workers, subjects, bytes, starts, ends }) => {
    for (let i = 0; i < length; i++) {
      const body = Buffer.from(bytes.subarray(starts[i], ends[i])).toString("hex");
      stored.push({ kind: kinds[i], worker: subjects.idOf(workers[i] as number), body });
    }
  });
  try {
    await runtime.publishEvents({ events, producerId: "", firstProducerSequence: 0n });
  } catch (error) {
    if (!hasReason(error, "invalid_request") && !hasReason(error, "job_not_found")) throw error;
    return { reason: error.reason, details: error.details };
  } finally {
    await runtime.close();
  }
  return { stored, state: [...log.stateEntries("")].map(([key, value]) => [key, Buffer.from(value).toString("hex")]) };
}

test("encoded events, also altered ones, become in the log what they become when they are decoded first", async () => {
  const change = fc.record({ at: fc.nat(40), byte: fc.nat(255) });
  const event = fc.record({
    message: anyMessage<NewEvent>(NewEventSchema),
    keepsJob: fc.boolean(),
    changes: fc.array(change, { maxLength: 2 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 3 }), async (events) => {
      const encoded: Uint8Array[] = [];
      for (const { message, keepsJob, changes } of events) {
        const bytes = toBinary(NewEventSchema, keepsJob ? message : { ...message, jobId: "" });
        for (const { at, byte } of changes) if (at < bytes.length) bytes[at] = byte;
        encoded.push(bytes);
      }
      let decoded: NewEvent[];
      try {
        decoded = encoded.map((bytes) => fromBinary(NewEventSchema, bytes));
      } catch {
        // An event before that one may be at fault as well.
        expect(await outcome(encoded)).toMatchObject({ details: expect.anything() });
        return;
      }
      expect(await outcome(encoded)).toEqual(await outcome(decoded));
    }),
    { numRuns: 1500 },
  );
});
