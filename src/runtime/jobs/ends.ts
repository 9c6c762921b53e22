import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { JobEnd } from "./machine.ts";
import { JobFailure, type JobResult } from "./operation.ts";

/** A handler settled. What it gives is looked at with care: a handler in JavaScript may give anything. */
export function succeeded(result: unknown): JobEnd {
  const { message, exitCode } = (typeof result === "object" && result !== null ? result : {}) as JobResult;
  return {
    state: JobState.SUCCEEDED,
    reason: "",
    message: typeof message === "string" ? message : "The job is complete.",
    ...exitCodeOf(exitCode),
  };
}

/** A handler threw. Viewers see the message, and nothing else of an error. */
export function failed(error: unknown): JobEnd {
  if (error instanceof JobFailure) {
    const { reason, message, exitCode } = error;
    return { state: JobState.FAILED, reason, message: message || "The job failed.", ...exitCodeOf(exitCode) };
  }
  return { state: JobState.FAILED, reason: "handler_failed", message: messageOf(error) || "The job failed." };
}

export function cancelled(message: string): JobEnd {
  return { state: JobState.CANCELLED, reason: "cancel_requested", message: message || "The job was cancelled." };
}

export function totalTimeout(ms: number): JobEnd {
  return timedOut("total_timeout", `The job took longer than ${durationOf(ms)}.`);
}

export function idleTimeout(ms: number): JobEnd {
  return timedOut("idle_timeout", `The job was silent for ${durationOf(ms)}.`);
}

export function queueTimeout(ms: number): JobEnd {
  return timedOut("queue_timeout", `The job waited for its start for ${durationOf(ms)}.`);
}

export const runtimeClosed: JobEnd = {
  state: JobState.FAILED,
  reason: "runtime_closed",
  message: "The runtime was closed while the job ran.",
};

export const runtimeRestarted: JobEnd = {
  state: JobState.FAILED,
  reason: "runtime_restarted",
  message: "The runtime ended and was started again while the job ran.",
};

/** What the signal of a job aborts with, under the names that the platform uses. */
export function abortReason({ state, message }: JobEnd): DOMException {
  return new DOMException(message, state === JobState.TIMED_OUT ? "TimeoutError" : "AbortError");
}

function timedOut(reason: string, message: string): JobEnd {
  return { state: JobState.TIMED_OUT, reason, message };
}

function durationOf(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
}

function exitCodeOf(exitCode: unknown): { readonly exitCode?: number } {
  return typeof exitCode === "number" && Number.isInteger(exitCode) && Math.abs(exitCode) < 2 ** 31 ? { exitCode } : {};
}

/** The text of whatever was thrown, which may be anything, also something that can't be made a text. */
function messageOf(error: unknown): string {
  try {
    const { code, syscall } = (error ?? {}) as { code?: unknown; syscall?: unknown };
    // What the system says names files of this host, which are nobody's business outside.
    if (typeof code === "string" && typeof syscall === "string") return `${code} (${syscall.split(" ")[0]})`;
    if (typeof code === "string" && code.endsWith("MODULE_NOT_FOUND")) return code;
    return error instanceof Error ? String(error.message) : String(error);
  } catch {
    return "";
  }
}
