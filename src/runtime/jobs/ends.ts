import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { JobEnd } from "./machine.ts";
import { JobFailure, type JobResult } from "./operation.ts";

/** A handler settled. It may have given anything. @throws what a getter or a proxy of that throws. */
export function succeeded(result: unknown): JobEnd {
  const { message, exitCode } = (typeof result === "object" && result !== null ? result : {}) as JobResult;
  return {
    state: JobState.SUCCEEDED,
    reason: "",
    message: typeof message === "string" ? message : "The job is complete.",
    ...exitCodeOf(exitCode),
  };
}

/** A handler threw, whatever it was. Viewers see the message, and nothing else of an error. */
export function failed(error: unknown): JobEnd {
  try {
    return failureOf(error);
  } catch {
    // It has a getter that throws, can't be made a text, or is a proxy: that the job failed is true all the same.
    return handlerFailed("");
  }
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

export const runtimeLost: JobEnd = {
  state: JobState.FAILED,
  reason: "runtime_lost",
  message: "The server that ran the job was lost.",
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

/** @throws what looking at it throws. */
function failureOf(error: unknown): JobEnd {
  if (!(error instanceof JobFailure)) return handlerFailed(messageOf(error));
  // A subclass may have made anything of them.
  const { reason, message, exitCode }: { reason: unknown; message: unknown; exitCode: unknown } = error;
  const end = handlerFailed(String(message));
  return { ...end, ...(typeof reason === "string" && reason !== "" ? { reason } : {}), ...exitCodeOf(exitCode) };
}

function handlerFailed(message: string): JobEnd {
  return { state: JobState.FAILED, reason: "handler_failed", message: message || "The job failed." };
}

function messageOf(error: unknown): string {
  const { code, syscall } = (error ?? {}) as { code?: unknown; syscall?: unknown };
  // What the system says names files of this host, which are nobody's business outside.
  if (typeof code === "string" && typeof syscall === "string") return `${code} (${syscall.split(" ")[0]})`;
  if (typeof code === "string" && code.endsWith("MODULE_NOT_FOUND")) return code;
  return error instanceof Error ? String(error.message) : String(error);
}
