import type { StopTimer } from "../../base/clock.ts";
import type { Lane } from "./lane.ts";
import { type JobMachine, queued } from "./machine.ts";
import type { JobRun } from "./run.ts";
import type { JobEntry } from "./table.ts";

/** A job that has not ended, or whose end is on its way into the log. */
export class ActiveJob {
  readonly entry: JobEntry;
  readonly lane: Lane;
  /** What is decided. The log follows: nothing of the job is appended after the append of its end. */
  machine: JobMachine = queued;
  /** Whether it waits for StartJob. */
  deferred: boolean;
  cancelRequested = false;
  /** Whether it is bounded in silence. */
  timesSilence = false;
  /** Whether it was submitted to another server, or to the runtime before this one, whose operation may have taken other parameters. */
  inherited = false;
  run: JobRun | undefined;
  stopQueueTimer: StopTimer | undefined;

  constructor(entry: JobEntry, lane: Lane, deferred: boolean) {
    this.entry = entry;
    this.lane = lane;
    this.deferred = deferred;
  }
}
