import type { Outcome } from "./statistics.ts";
import { short, summaryOf } from "./statistics.ts";

const width = 960;
const labelWidth = 270;
const rowHeight = 22;
const plotWidth = width - labelWidth - 110;

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** Characters of the caption that fit on a line. */
const captionCharacters = 165;

function wrap(text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length >= captionCharacters) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

function isAtSaturation({ scenario, setting }: Outcome): boolean {
  return scenario === "fanout" || (scenario === "jetstream-delivery" && setting.includes("closed loop"));
}

/** Delivered events per second at saturation as bars on a logarithmic axis, one group for every number of watchers. */
export function renderChart(outcomes: readonly Outcome[], caption: string): string {
  const bars = outcomes.filter(
    (outcome) => isAtSaturation(outcome) && summaryOf(outcome, "events_per_second") !== undefined,
  );
  const settings = [...new Set(bars.map((bar) => bar.setting))];
  const top = Math.max(1e6, ...bars.map((bar) => summaryOf(bar, "events_per_second")?.high ?? 0));
  const bottom = 1e4;
  const scale = (value: number): number =>
    (Math.log10(Math.max(value, bottom) / bottom) / Math.log10(top / bottom)) * plotWidth;
  const lines: string[] = [];
  let y = 56;
  for (const setting of settings) {
    lines.push(
      `<text x="16" y="${y}" font-weight="bold">${escapeText(setting.replace("closed loop", "log in JetStream"))}</text>`,
    );
    y += 10;
    for (const bar of bars.filter((candidate) => candidate.setting === setting)) {
      const summary = summaryOf(bar, "events_per_second");
      if (summary === undefined) continue;
      const fill = bar.contender.startsWith("ours") ? "#1f6feb" : bar.contender === "limit" ? "#8b949e" : "#d29922";
      const x = labelWidth + scale(summary.median);
      const middle = y + rowHeight / 2 - 3;
      lines.push(
        `<text x="${labelWidth - 8}" y="${y + 14}" text-anchor="end">${escapeText(bar.title)}</text>`,
        `<rect x="${labelWidth}" y="${y}" width="${scale(summary.median).toFixed(1)}" height="${rowHeight - 6}" fill="${fill}"/>`,
        // The spread of the rounds.
        `<line x1="${(labelWidth + scale(summary.low)).toFixed(1)}" x2="${(labelWidth + scale(summary.high)).toFixed(1)}" y1="${middle}" y2="${middle}" stroke="#24292f"/>`,
        `<text x="${(Math.max(x, labelWidth + scale(summary.high)) + 6).toFixed(1)}" y="${y + 14}">${short(summary.median)}</text>`,
      );
      y += rowHeight;
    }
    y += 26;
  }
  for (const line of wrap(caption)) {
    lines.push(`<text x="16" y="${y}" font-size="11" fill="#57606a">${escapeText(line)}</text>`);
    y += 16;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}" font-family="system-ui, sans-serif" font-size="13" fill="#24292f">
<rect width="${width}" height="${y}" fill="#ffffff"/>
<text x="16" y="26" font-size="16" font-weight="bold">Delivered events per second at saturation (logarithmic)</text>
${lines.join("\n")}
</svg>
`;
}
