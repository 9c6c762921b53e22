import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";

/** A terminal state. */
export type TerminalState =
  | typeof JobState.SUCCEEDED
  | typeof JobState.FAILED
  | typeof JobState.CANCELLED
  | typeof JobState.TIMED_OUT;

/** How a job ends. */
export interface JobEnd {
  readonly state: TerminalState;
  /** Machine-readable reason; empty: none. */
  readonly reason: string;
  /** Human-readable note. */
  readonly message: string;
  /** Exit code of the job's command; undefined: it had none. */
  readonly exitCode?: number;
}

/**
 * The state of a job that has not been forgotten. `ending`: its signal has aborted, and this is how it ends once its
 * handler has settled or was let go. `overruled`: another server has said of it what holds: that it ended, so that nothing
 * is left to say, or that it is that server's own now (`end` undefined).
 */
export type JobMachine =
  | { readonly phase: "queued" }
  | { readonly phase: "running"; readonly ending: JobEnd | undefined }
  | { readonly phase: "ended"; readonly end: JobEnd }
  | { readonly phase: "overruled"; readonly end: JobEnd | undefined };

/** What happens to a job. */
export type JobInput =
  | { readonly kind: "start" }
  /** Cancel, a timeout, or the close of the runtime. */
  | { readonly kind: "abort"; readonly end: JobEnd }
  /** The handler settled. */
  | { readonly kind: "settle"; readonly end: JobEnd }
  /** The handler had its time to settle after an abort. */
  | { readonly kind: "let_go" }
  /** Another server ended the job, or took it over (`end` undefined). */
  | { readonly kind: "overrule"; readonly end: JobEnd | undefined };

export const queued: JobMachine = { phase: "queued" };

/**
 * The state after an input; the same object if the input changes nothing. Closed: nothing leaves "ended" or "overruled", and
 * the first abort decides, whatever comes after it, unless another server was first.
 */
export function step(machine: JobMachine, input: JobInput): JobMachine {
  switch (machine.phase) {
    case "queued":
      if (input.kind === "start") return { phase: "running", ending: undefined };
      if (input.kind === "overrule") return { phase: "overruled", end: input.end };
      return input.kind === "abort" ? { phase: "ended", end: input.end } : machine;
    case "running":
      return stepRunning(machine, input);
    case "ended":
    case "overruled":
      return machine;
  }
}

function stepRunning(machine: JobMachine & { phase: "running" }, input: JobInput): JobMachine {
  switch (input.kind) {
    case "start":
      return machine;
    case "abort":
      return machine.ending === undefined ? { phase: "running", ending: input.end } : machine;
    case "settle":
      return { phase: "ended", end: machine.ending ?? input.end };
    case "let_go":
      return machine.ending === undefined ? machine : { phase: "ended", end: machine.ending };
    case "overrule":
      return { phase: "overruled", end: input.end };
  }
}

/** Whether a state is never left. */
export function isTerminal(state: JobState): state is TerminalState {
  return (
    state === JobState.SUCCEEDED ||
    state === JobState.FAILED ||
    state === JobState.CANCELLED ||
    state === JobState.TIMED_OUT
  );
}
