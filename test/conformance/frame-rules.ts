import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Severity } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import { CursorCodec, decodeCursor, hashId } from "../../src/events/cursor.ts";
import type { Epochs } from "../../src/events/epochs.ts";
import type { Frame, WatchRequest } from "./edges/edge.ts";

/** What every stream of frames keeps to, whatever it carries. `take` throws at the first frame that does not. */
export class FrameRules {
  /** Whether the watch wants every event of the workers, or of the jobs, that it shows. */
  readonly #wholeWorkers: boolean;
  readonly #wholeJobs: boolean;
  readonly #ofJob: boolean;
  #opened = false;
  #ended = false;
  #runtimeId = "";
  /** Sequence of the newest position that was told. */
  #sequence = 0;
  #eventSequence = 0;
  #timeMs = 0;
  readonly #workerSequences = new Map<string, number>();
  readonly #jobOrdinals = new Map<string, number>();

  constructor(request: WatchRequest) {
    const filtered = (request.kinds ?? []).length > 0;
    this.#ofJob = (request.jobId ?? "") !== "";
    this.#wholeWorkers = !filtered && !this.#ofJob;
    this.#wholeJobs = !filtered && (request.workerIds ?? []).length === 0;
  }

  take(frame: Frame): void {
    this.#demand(!this.#ended, "nothing follows a terminal diagnostic", frame);
    if (!this.#opened) {
      const refused = frame.case === "diagnostic" && frame.value.severity === Severity.TERMINAL;
      this.#demand(frame.case === "opened" || refused, "the first frame is `opened`, or why there is none", frame);
    } else {
      this.#demand(frame.case !== "opened", "`opened` comes once", frame);
    }
    switch (frame.case) {
      case "opened":
        this.#opened = true;
        this.#runtimeId = frame.value.runtimeId;
        this.#demand(this.#runtimeId !== "", "a runtime has an id", frame);
        this.#sequence = this.#position(frame.value.cursor);
        this.#demand(
          this.#position(frame.value.earliestCursor) <= this.#position(frame.value.latestCursor),
          "the earliest position is not after the latest",
          frame,
        );
        return;
      case "events":
        this.#demand(frame.value.events.length > 0, "a batch has events", frame);
        for (const event of frame.value.events) this.#event(event, frame);
        this.#advance(frame.value.cursor, frame);
        this.#demand(this.#sequence === this.#eventSequence, "a batch's cursor is after its last event", frame);
        return;
      case "bookmark":
        this.#demand(frame.value.serverTime !== undefined, "a bookmark tells the time", frame);
        this.#advance(frame.value.cursor, frame);
        return;
      case "diagnostic":
        this.#diagnostic(frame);
    }
  }

  #event(event: Event, frame: Frame): void {
    const sequence = Number(event.sequence);
    this.#demand(sequence > this.#sequence, "sequences increase, beyond every position told before", frame);
    this.#demand(this.#position(event.cursor) === sequence, "an event's cursor is the position after it", frame);
    this.#sequence = sequence;
    this.#eventSequence = sequence;
    this.#demand(event.time !== undefined, "an event has a time", frame);
    const timeMs = event.time === undefined ? 0 : timestampMs(event.time);
    this.#demand(timeMs >= this.#timeMs, "times never decrease", frame);
    this.#timeMs = timeMs;
    const { workerOrdinal, jobHash, jobOrdinal } = decodeCursor(event.cursor).position;
    this.#demand(Number(event.workerSequence) === workerOrdinal, "a cursor counts as worker_sequence does", frame);
    this.#counts("worker", this.#workerSequences, event.workerId, workerOrdinal, this.#wholeWorkers, frame);
    // Of a job that was forgotten nobody counts the events, and it has no watch.
    if (event.jobId !== "" && jobHash === 0 && !this.#ofJob) return;
    this.#demand(jobHash === (event.jobId === "" ? 0 : hashId(event.jobId)), "a cursor knows the job", frame);
    this.#counts("job", this.#jobOrdinals, event.jobId, jobOrdinal, this.#wholeJobs, frame);
  }

  /** The numbers of each worker and job grow, without holes where the watch shows all of it. */
  #counts(what: string, counts: Map<string, number>, id: string, ordinal: number, whole: boolean, frame: Frame): void {
    if (id === "") {
      this.#demand(ordinal === 0, `what is of no ${what} has no number there`, frame);
      return;
    }
    const before = counts.get(id);
    const follows = before === undefined || (whole ? ordinal === before + 1 : ordinal > before);
    this.#demand(ordinal >= 1 && follows, `the numbers of a ${what} have no holes (${before} then ${ordinal})`, frame);
    counts.set(id, ordinal);
  }

  #diagnostic(frame: Extract<Frame, { case: "diagnostic" }>): void {
    const { severity, message, cursor, reason } = frame.value;
    this.#demand(reason.case !== undefined && message !== "", "a diagnostic has a reason and a message", frame);
    this.#demand(severity !== Severity.UNSPECIFIED, "a diagnostic has a severity", frame);
    this.#ended = severity === Severity.TERMINAL;
    if (cursor === "") return;
    if (reason.case === "gap") {
      // What was lost is missing from every count.
      this.#workerSequences.clear();
      this.#jobOrdinals.clear();
    }
    if (this.#opened) this.#advance(cursor, frame);
    else this.#position(cursor);
  }

  #advance(cursor: string, frame: Frame): void {
    const sequence = this.#position(cursor);
    this.#demand(sequence >= this.#sequence, "positions never go back", frame);
    this.#sequence = sequence;
  }

  /** Sequence of a cursor, which must be written as its codec writes it. */
  #position(cursor: string): number {
    const { position, closing, generation, epoch } = decodeCursor(cursor);
    if (!/^[\w-]{1,64}$/.test(cursor)) throw new Error(`${cursor} can't stand in a URL or is too long`);
    const epochs = { at: () => ({ after: -1, through: Number.POSITIVE_INFINITY, tag: epoch }) } as unknown as Epochs;
    const codec = new CursorCodec(this.#runtimeId, generation, epochs);
    if (this.#runtimeId !== "" && codec.encode(position, closing) !== cursor) {
      throw new Error(`${cursor} is not the canonical text of its position`);
    }
    return position.sequence;
  }

  #demand(condition: boolean, rule: string, frame: Frame): void {
    if (condition) return;
    const text = JSON.stringify(frame, (_, value) => (typeof value === "bigint" ? `${value}` : value));
    throw new Error(`against the protocol: ${rule}: ${text.slice(0, 500)}`);
  }
}
