import { slopes } from "./slopes.ts";
import type { Outcome } from "./statistics.ts";
import { short, summaryOf } from "./statistics.ts";

interface Column {
  readonly figure: string;
  readonly heading: string;
}

const window: readonly Column[] = [
  { figure: "events_per_second", heading: "delivered/s" },
  { figure: "server_cpu_us_per_event", heading: "CPU µs/event" },
  { figure: "server_cores", heading: "server cores" },
  { figure: "p50_ms", heading: "p50 ms" },
  { figure: "p99_ms", heading: "p99 ms" },
];
const noise: readonly Column[] = [
  { figure: "load_cores", heading: "load cores" },
  { figure: "other_cores", heading: "others' cores" },
];

const columnsOf: Readonly<Record<string, readonly Column[]>> = {
  fanout: [...window, ...noise],
  "open-loop": [...window, { figure: "rss_mb", heading: "RSS MB" }, ...noise],
  single: [
    { figure: "p50_ms", heading: "p50 ms" },
    { figure: "p99_ms", heading: "p99 ms" },
    { figure: "server_cores", heading: "server cores" },
    ...noise,
  ],
  workers: [...window, ...noise],
  replay: [
    { figure: "events_per_second", heading: "events/s" },
    { figure: "done", heading: "finished" },
    { figure: "rss_before_mb", heading: "RSS before MB" },
    { figure: "rss_peak_mb", heading: "RSS peak MB" },
    { figure: "server_cpu_us_per_event", heading: "CPU µs/event" },
    ...noise,
  ],
  append: [
    { figure: "appended_per_second", heading: "acknowledged/s" },
    { figure: "ack_p50_ms", heading: "p50 ms" },
    { figure: "ack_p99_ms", heading: "p99 ms" },
    { figure: "commit_p50_ms", heading: "disk's own p50 ms" },
    { figure: "server_cores", heading: "server cores" },
    ...noise,
  ],
  idle: [
    { figure: "base_mb", heading: "base MB" },
    { figure: "kb_per_watcher_at_1000", heading: "KB/watcher at 1,000" },
    { figure: "kb_per_watcher_at_5000", heading: "at 5,000" },
    { figure: "kb_per_watcher_slope", heading: "slope" },
    { figure: "admission_ms", heading: "admitted in ms" },
  ],
  stalled: [
    { figure: "growth_mb", heading: "growth MB" },
    { figure: "rss_mb", heading: "RSS MB" },
    { figure: "events_per_second", heading: "delivered/s" },
    { figure: "p99_ms", heading: "p99 ms" },
    ...noise,
  ],
  interference: [
    { figure: "p50_ms", heading: "live p50 ms" },
    { figure: "p99_ms", heading: "live p99 ms" },
    { figure: "replayed_per_second", heading: "replayed/s" },
    { figure: "server_cores", heading: "server cores" },
    ...noise,
  ],
  "jetstream-append": [
    { figure: "appended_per_second", heading: "acknowledged/s" },
    { figure: "ack_p50_ms", heading: "p50 ms" },
    { figure: "ack_p99_ms", heading: "p99 ms" },
    { figure: "server_cpu_us_per_event", heading: "CPU µs/event" },
    { figure: "server_cores", heading: "cores of all servers" },
    ...noise,
  ],
  "jetstream-delivery": [...window, ...noise],
  "jetstream-replay": [
    { figure: "events_per_second", heading: "events/s" },
    { figure: "server_cpu_us_per_event", heading: "CPU µs/event" },
    { figure: "client_cpu_us_per_event", heading: "client CPU µs/event" },
    { figure: "server_cores", heading: "server cores" },
    ...noise,
  ],
  "jetstream-slopes": slopes,
  client: [
    { figure: "events_per_second", heading: "events/s" },
    { figure: "client_cpu_us_per_event", heading: "client CPU µs/event" },
  ],
};

function cellText(outcome: Outcome, figure: string): string {
  const summary = summaryOf(outcome, figure);
  if (summary === undefined) return "-";
  const spread = outcome.rounds.length > 1 ? ` (${short(summary.low)} to ${short(summary.high)})` : "";
  return `${short(summary.median)}${spread}`;
}

// What makes a row less than it seems is said in the row.
function remarks(outcome: Outcome): string {
  const notes = [...new Set(outcome.failures)].map((failure) => failure.split("\n")[0]?.slice(0, 160) ?? "");
  if ((summaryOf(outcome, "missing")?.high ?? 0) > 0)
    notes.push(`LOST ${short(summaryOf(outcome, "missing")?.high ?? 0)}`);
  if ((summaryOf(outcome, "repeated")?.high ?? 0) > 0) {
    notes.push(`REPEATED ${short(summaryOf(outcome, "repeated")?.high ?? 0)}`);
  }
  const offered = summaryOf(outcome, "offered_per_second")?.median;
  const delivered = summaryOf(outcome, "events_per_second")?.median;
  if (offered !== undefined && delivered !== undefined && delivered < offered * 0.98) {
    notes.push(`not held: ${short(offered)}/s offered`);
  }
  if ((summaryOf(outcome, "other_cores")?.median ?? 0) > 0.15) notes.push("noisy");
  if ((summaryOf(outcome, "load_cores")?.median ?? 0) > 0.93) notes.push("load client full");
  return notes.join("; ");
}

/** The outcomes as Markdown: a table for every setting. */
export function renderTables(outcomes: readonly Outcome[]): string {
  const settings = new Map<string, Outcome[]>();
  for (const outcome of outcomes) {
    const key = `${outcome.scenario}: ${outcome.setting}`;
    const rows = settings.get(key) ?? [];
    rows.push(outcome);
    settings.set(key, rows);
  }
  const parts: string[] = [];
  for (const [key, rows] of settings) {
    const columns = (columnsOf[rows[0]?.scenario ?? ""] ?? window).filter((column) =>
      rows.some((row) => summaryOf(row, column.figure) !== undefined),
    );
    parts.push(`### ${key}\n`);
    parts.push(`| contender | ${columns.map((column) => column.heading).join(" | ")} | remarks |`);
    parts.push(`|---|${columns.map(() => "---:|").join("")}---|`);
    for (const row of rows) {
      parts.push(
        `| ${row.title} | ${columns.map((column) => cellText(row, column.figure)).join(" | ")} | ${remarks(row)} |`,
      );
    }
    parts.push("");
  }
  return parts.join("\n");
}
