/** How long to wait between tries. */
export interface Backoff {
  /** Milliseconds, at most, before the second try; the ceiling doubles with every try after it. */
  readonly initialMs: number;
  /** Milliseconds, at most, before any try. */
  readonly maxMs: number;
}

/** 250 ms, doubling up to 30 s. */
export const defaultBackoff: Backoff = { initialMs: 250, maxMs: 30_000 };

/**
 * Milliseconds to wait after `attempt` failures in a row (1, 2, ...): anything between nothing and the ceiling ("full
 * jitter"), so that clients which lost the same server don't come back together. `random` is in [0, 1).
 */
export function fullJitter(attempt: number, backoff: Backoff, random: number): number {
  // The exponent is bounded because 2 ** 1024 is Infinity, and Infinity * 0 is no delay but NaN.
  const ceiling = Math.min(backoff.maxMs, backoff.initialMs * 2 ** Math.min(attempt - 1, 52));
  return Math.floor(random * ceiling);
}
