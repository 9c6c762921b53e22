import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { PublishEventsRequestSchema } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { ManualClock } from "../../src/base/clock.ts";
import type { RetentionLimits } from "../../src/base/limits.ts";
import { MemoryLog } from "../../src/log/memory/index.ts";
import type { WatchFrame } from "../../src/runtime/object-form.ts";
import { Runtime } from "../../src/runtime/runtime.ts";

/** A runtime over a log in memory, with a clock that stands still. Faults are thrown where they happen. */
export function memoryRuntime(retention: Partial<RetentionLimits> = {}) {
  const clock = new ManualClock();
  const log = new MemoryLog({ runtimeId: "test", clock, retention });
  const runtime = new Runtime({
    log,
    clock,
    onError: (error) => {
      throw error;
    },
  });
  return { clock, log, runtime };
}

/** A PublishEvents request. */
export function batch(init: MessageInitShape<typeof PublishEventsRequestSchema>) {
  return create(PublishEventsRequestSchema, init);
}

/** `count` custom events of a worker, told apart by their data. */
export function customEvents(workerId: string, count: number, from = 1) {
  return Array.from({ length: count }, (_, i) => ({
    workerId,
    payload: { case: "custom" as const, value: { type: "test", data: new TextEncoder().encode(`${from + i}`) } },
  }));
}

/** Takes frames until one fits, and gives all of them. Leaves the watch. */
export async function framesUntil(
  frames: AsyncIterable<WatchFrame>,
  fits: (frame: WatchFrame) => boolean,
): Promise<WatchFrame[]> {
  const taken: WatchFrame[] = [];
  for await (const frame of frames) {
    taken.push(frame);
    if (fits(frame)) break;
  }
  return taken;
}

/** Whether a frame is the notice or terminal diagnostic of this reason. */
export function isDiagnostic(reason: string): (frame: WatchFrame) => boolean {
  return (frame) => frame.case === "diagnostic" && frame.value.reason.case === reason;
}

/** The events in frames, in order. */
export function eventsIn(frames: readonly WatchFrame[]) {
  return frames.flatMap((frame) => (frame.case === "events" ? frame.value.events : []));
}
