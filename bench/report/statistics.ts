import type { Figures } from "../scenarios/cell.ts";

/** What one contender did in one setting, over all rounds. */
export interface Outcome {
  readonly contender: string;
  readonly title: string;
  readonly scenario: string;
  readonly setting: string;
  readonly rounds: readonly Figures[];
  /** Why there are no figures, or fewer than rounds. */
  readonly failures: readonly string[];
}

export interface Summary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export function summarize(values: readonly number[]): Summary | undefined {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const low = sorted[0];
  const high = sorted.at(-1);
  const upper = sorted[middle];
  if (low === undefined || high === undefined || upper === undefined) return undefined;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
  return { median, low, high };
}

export function summaryOf(outcome: Outcome, figure: string): Summary | undefined {
  return summarize(outcome.rounds.map((round) => round[figure] ?? Number.NaN));
}

/** Three significant digits, with k and M, as in the tables. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  if (size >= 1e6) return `${digits(value / 1e6)}M`;
  if (size >= 1e4) return `${digits(value / 1e3)}k`;
  return digits(value);
}

function digits(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 1) return value.toFixed(2);
  return value.toFixed(3);
}
