import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EventSchema, type NewEvent } from "../../gen/tailrace/v1/event_pb.ts";
import { pendingEvent } from "../../src/events/stored.ts";
import type { EventBlock } from "../../src/log/block.ts";
import type { PendingEvent } from "../../src/log/contract.ts";
import { Subjects } from "../../src/log/subjects.ts";

export interface BlockOptions {
  /** Sequence of the first event. */
  readonly firstSequence?: number;
  /** Milliseconds since the epoch, of the first event. Each next one is a millisecond later. */
  readonly timeMs?: number;
  readonly subjects?: Subjects;
  readonly jobSubjects?: Subjects;
}

/** A committed block of these events, as a log gives it out. */
export function blockOf(events: readonly NewEvent[], options: BlockOptions = {}): EventBlock {
  return blockOfPending(
    events.map((event) => pendingEvent(event)),
    options,
  );
}

/** The same of events that are encoded already. */
export function blockOfPending(events: readonly PendingEvent[], options: BlockOptions = {}): EventBlock {
  const { firstSequence = 1, timeMs = 1_790_000_000_000, subjects = new Subjects() } = options;
  const { jobSubjects = new Subjects() } = options;
  const length = events.length;
  const stored = events.map(({ body }, index) =>
    Buffer.concat([toBinary(EventSchema, create(EventSchema, { time: timestampFromMs(timeMs + index) })), body]),
  );
  const starts = new Uint32Array(length);
  const ends = new Uint32Array(length);
  // Something in front, as in a segment file.
  let offset = 3;
  stored.forEach((bytes, index) => {
    starts[index] = offset;
    offset += bytes.length;
    ends[index] = offset;
  });
  const counts = new Map<string, number>();
  const numbers = new Map<string, number>();
  const numberIn = (names: Subjects, scope: string, id: string) => {
    if (id === "") return 0;
    const key = `${scope}/${id}`;
    const number = numbers.get(key) ?? names.add(id);
    numbers.set(key, number);
    return number;
  };
  const countIn = (scope: string, id: string) => {
    if (id === "") return 0;
    const key = `${scope}/${id}`;
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    return count;
  };
  return {
    length,
    sequences: Float64Array.from(events, (_, index) => firstSequence + index),
    ordinals: Float64Array.from(events, (_, index) => Math.max(1, firstSequence - 5) + index),
    workers: Uint32Array.from(events, ({ workerId }) => numberIn(subjects, "worker", workerId)),
    workerOrdinals: Float64Array.from(events, ({ workerId }) => countIn("worker", workerId)),
    jobs: Uint32Array.from(events, ({ jobId }) => numberIn(jobSubjects, "job", jobId)),
    jobOrdinals: Float64Array.from(events, ({ jobId }) => countIn("job", jobId)),
    kinds: Uint32Array.from(events, ({ kind }) => kind),
    times: Float64Array.from(events, (_, index) => timeMs + index),
    bytes: new Uint8Array(Buffer.concat([Buffer.from([1, 2, 3]), ...stored])),
    starts,
    ends,
    subjects,
    jobSubjects,
  };
}
