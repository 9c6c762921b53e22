import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { limits } from "../../src/base/limits.ts";
import { messageSizeAtMost } from "../../src/client/message-size.ts";
import { eventually } from "../support/until.ts";
import { say, started, texts } from "./producing-server.ts";

describe("the queue of a publisher", () => {
  it("is bounded: more is limit_exceeded until there is room again", async () => {
    let release: (() => void) | undefined;
    const { publisher, log } = await started(
      {},
      {
        before: (_request, attempt) =>
          attempt === 1 &&
          new Promise<void>((resolve) => {
            release = resolve;
          }),
      },
    );
    const big = say("x".repeat(400_000));
    const receipts: Promise<unknown>[] = [];
    let full: unknown;
    while (full === undefined && receipts.length < 100) {
      const receipt = publisher.publish(big);
      receipts.push(receipt);
      receipt.catch((error: unknown) => {
        full = error;
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect(receipts.pop()).rejects.toBe(full);
    expect(full).toMatchObject({ reason: "limit_exceeded", details: { maximum: limits.publisherQueueBytes } });
    const ready = publisher.ready();
    await eventually(() => expect(release).toBeDefined());
    release?.();
    await ready;
    receipts.push(publisher.publish(big));
    await publisher.flush();
    await Promise.all(receipts);
    expect(log).toHaveLength(receipts.length);
    await publisher.close();
  });

  it("takes no call that could never be sent", async () => {
    const { publisher, requests } = await started();
    await expect(publisher.publish([])).rejects.toMatchObject({ reason: "invalid_request" });
    await expect(publisher.publish(texts(limits.maxPublishEvents + 1).map(say))).rejects.toMatchObject({
      reason: "invalid_request",
    });
    const tooBig = Array.from({ length: 20 }, () => say("x".repeat(300_000)));
    await expect(publisher.publish(tooBig)).rejects.toMatchObject({ reason: "invalid_request" });
    expect(requests).toHaveLength(0);
    // Too big by the estimate, and not in truth.
    await publisher.publish(tooBig.slice(0, 10));
    await publisher.close();
    await expect(publisher.publish(say("late"))).rejects.toMatchObject({ reason: "invalid_request" });
  });

  it("never takes a message for smaller than it is", () => {
    const payload = fc.oneof(
      fc
        .record({ message: fc.string({ maxLength: 40 }), action: fc.string({ unit: "grapheme", maxLength: 40 }) })
        .map((value) => ({ case: "narration" as const, value })),
      fc
        .record({ data: fc.uint8Array({ maxLength: 40 }), offset: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) })
        .map((value) => ({ case: "output" as const, value })),
      fc
        .record({ done: fc.double({ min: 0, noNaN: true }), total: fc.double({ min: 0, noNaN: true }) })
        .map((value) => ({ case: "progress" as const, value })),
    );
    const event = fc.record({ workerId: fc.string(), correlationId: fc.string(), payload });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 5 }), (inits) => {
        const events = inits.map((init) => create(NewEventSchema, init));
        const exact = events.reduce((sum, one) => sum + toBinary(NewEventSchema, one).length + 6, 0);
        expect(messageSizeAtMost(events)).toBeGreaterThanOrEqual(exact);
      }),
      { numRuns: 300 },
    );
  });
});
