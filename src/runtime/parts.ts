import { type Clock, systemClock } from "../base/clock.ts";
import { type ReportError, safeReport, toTailraceError } from "../base/incident.ts";
import { CursorCodec } from "../events/cursor.ts";
import type { EventLog } from "../log/contract.ts";
import { Tail } from "../stream/tail.ts";
import { Jobs } from "./jobs/jobs.ts";
import type { JobMemoryOptions } from "./jobs/memory.ts";
import { requireWhole } from "./migration/unfinished.ts";
import { EventPublisher } from "./publisher.ts";
import { Publishing } from "./publishing.ts";
import { scopeEnds } from "./scope-ends.ts";
import { type TranscriptOptions, Transcripts } from "./transcripts/transcripts.ts";
import { WorkerMemory } from "./worker-memory.ts";
import { WorkerProjection } from "./worker-projection.ts";

export interface RuntimeOptions {
  /** Where events are kept. The runtime closes it. */
  readonly log: EventLog;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Bounds of transcripts. Default: those of `limits` (docs/protocol.md, "Transcript"). */
  readonly transcripts?: Partial<TranscriptOptions>;
  /**
   * Takes faults of the runtime itself, with the incident id that a client was told. What it throws goes to standard error.
   * Default: standard error.
   */
  readonly onError?: ReportError;
  /** What bounds the memory of jobs. Default: limits.maxJobs, limits.jobMemoryMs. */
  readonly jobs?: JobMemoryOptions;
}

/** What the parts ask of the runtime whose they are. */
export interface RuntimeOfParts {
  /** What handlers of jobs know it by. */
  readonly runtime: object;
  /** Where it is served; undefined: nowhere that it knows of. */
  advertised(): string | undefined;
  /** @throws TailraceError `server_closing` once it closes. */
  requireOpen(): void;
}

/** What a runtime is made of. */
export interface RuntimeParts {
  readonly log: EventLog;
  readonly cursors: CursorCodec;
  readonly clock: Clock;
  /** Never throws. */
  readonly report: ReportError;
  readonly workers: WorkerProjection;
  readonly workerMemory: WorkerMemory;
  readonly transcripts: Transcripts;
  readonly publishing: Publishing;
  readonly jobs: Jobs;
  readonly tail: Tail;
  /** The projections hear of nothing more. */
  stopProjections(): void;
}

/**
 * Makes the parts of a runtime, and joins them.
 * @throws TailraceError `log_open_failed` for a log that was not copied to its end.
 */
export function makeParts(options: RuntimeOptions, owner: RuntimeOfParts): RuntimeParts {
  const { log, clock = systemClock } = options;
  requireWhole(log);
  const report = safeReport(options.onError);
  const cursors = new CursorCodec(log.identity.runtimeId, log.identity.generation, log.epochs);
  const workers = new WorkerProjection(log, cursors);
  const transcripts = new Transcripts(log, clock, report, options.transcripts);
  // Before the tail: when a watch hears of an event, the projections have folded it.
  const stopProjections = log.subscribe((block, done) => {
    workers.commit(block);
    transcripts.commit(block);
    jobs.commit(block);
    done();
  });
  const publisher = new EventPublisher(log, workers, (jobId, again) => jobs.admit(jobId, again));
  const publishing = new Publishing(log, cursors, clock, publisher, owner.requireOpen);
  const jobs = new Jobs({
    ...owner,
    log,
    cursors,
    clock,
    publisher,
    memory: options.jobs ?? {},
    report,
    publish: (event) => publishing.ofJob(event),
  });
  const tail = new Tail({
    log,
    cursors,
    clock,
    endOf: scopeEnds(workers, jobs),
    internal: (cause) => toTailraceError(cause, report),
  });
  const workerMemory = new WorkerMemory(log, workers, clock, report);
  return {
    log,
    cursors,
    clock,
    report,
    workers,
    workerMemory,
    transcripts,
    publishing,
    jobs,
    tail,
    stopProjections,
  };
}
