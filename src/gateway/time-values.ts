import { fromJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const durationPattern = /^(?:\d{1,9}(?:ms|s|m|h|d))+$/;
const partPattern = /(\d+)(ms|[smhd])/g;

/** Milliseconds of a duration such as "15s", "5m", "1h30m" or "500ms"; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  if (text.length > 64 || !durationPattern.test(text)) return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(partPattern)) total += Number(count) * (unitMs[unit as string] as number);
  return total;
}

/** A time in RFC 3339, or as a duration before `nowMs`; undefined for anything else. */
export function parseSince(text: string, nowMs: number): Timestamp | undefined {
  const age = parseDuration(text);
  if (age !== undefined) return timestampFromMs(Math.max(0, nowMs - age));
  try {
    // In a query a bare "+" means a space, and "+02:00" is what people paste.
    return fromJson(TimestampSchema, text.replace(/ (?=\d\d:\d\d$)/, "+"));
  } catch {
    return undefined;
  }
}
