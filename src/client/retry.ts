import { type Backoff, defaultBackoff, fullJitter } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import type { TailraceError } from "../base/errors.ts";
import type { Connection } from "./connection.ts";
import type { Verdict } from "./failures.ts";

export interface RetryOptions {
  readonly connection: Connection;
  /** What to do about what the call threw. */
  readonly verdictOf: (thrown: unknown) => Verdict;
  readonly backoff: (Partial<Backoff> & { readonly maxAttempts?: number; readonly random?: () => number }) | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Hears of every failure that is tried again. What it throws is what the call ends with. */
  readonly onRetry: (retry: { attempt: number; delayMs: number; error: TailraceError }) => void;
}

/**
 * Makes a call that is harmless to repeat until it is answered. @throws TailraceError if the server refuses it, or with
 * the last failure after `maxAttempts`; the reason of the signal once that aborted.
 */
export async function untilAnswered<T>(call: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { connection, verdictOf, clock, signal, onRetry } = options;
  const { maxAttempts = Number.POSITIVE_INFINITY, random = Math.random, ...given } = options.backoff ?? {};
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await call();
    } catch (thrown) {
      signal.throwIfAborted();
      const verdict = verdictOf(thrown);
      if (verdict.kind === "stop" || attempt >= maxAttempts) throw verdict.error;
      // A request without an answer may have died with its connection; the next one must not go the same way.
      if (verdict.error.reason === "connection_failed") connection.reset?.();
      const asked = verdict.retryAfterMs ?? 0;
      const delayMs = asked + fullJitter(asked > 0 ? 1 : attempt, { ...defaultBackoff, ...given }, random());
      onRetry({ attempt, delayMs, error: verdict.error });
      await pause(delayMs, clock, signal);
    }
  }
}

function pause(delayMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const leave = () => {
      stop();
      resolve();
    };
    const stop = clock.after(delayMs, () => {
      signal.removeEventListener("abort", leave);
      resolve();
    });
    signal.addEventListener("abort", leave, { once: true });
  });
}
