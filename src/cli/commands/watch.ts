import { usageError } from "../options/parse.ts";
import { serverOption } from "../options/server-option.ts";
import { commaList, defineCommand, flag, list, value } from "../options/spec.ts";
import { anyText, eventKind, heartbeatMs, instantMs, jobId, lastCount, oneOf, workerId } from "../options/values.ts";

export const watchOptions = {
  worker: list("ID", "Watch this worker only; may be given several times. Default: the whole runtime.", workerId),
  job: value("ID", "Watch this job only. It ends with the job; watching neither starts nor cancels it.", jobId),
  kinds: commaList("KINDS", "Kinds of events to show, for example output,narration. Default: all.", eventKind),
  cursor: value("CURSOR", "Begin after this position.", anyText),
  since: value("TIME", "Begin at this time or this long ago: 5m, 2h, 2026-01-31T12:00:00Z.", instantMs),
  last: value("N", "Begin at the last N events, at most 10,000.", lastCount),
  "start-at": value(
    "PLACE",
    "Begin at the earliest event retained (default) or the latest.",
    oneOf("earliest", "latest"),
  ),
  "on-expired": value(
    "WHAT",
    "If the position is no longer retained: fail (default), or continue_with_gap and say how much is lost.",
    oneOf("fail", "continue_with_gap"),
  ),
  "if-missing": value(
    "WHAT",
    "If the worker or job does not exist: fail (default), or wait for it.",
    oneOf("fail", "wait"),
  ),
  checkpoint: value(
    "FILE",
    "Keep the position in this file, and go on from it when started again. After a crash the last second may be shown twice, never lost.",
    anyText,
  ),
  heartbeat: value(
    "TIME",
    "Silence after which the server says that it is there, 1s to 60s. Default: 15s.",
    heartbeatMs,
  ),
  format: value(
    "FORMAT",
    "pretty for people, json for one event (proto3 JSON) per line. Default: pretty.",
    oneOf("pretty", "json"),
  ),
  quiet: flag("No status lines on stderr, only errors.", "q"),
  server: serverOption,
} as const;

export const watchCommand = defineCommand({
  name: "watch",
  summary: "Follow events as they happen, over reconnects and restarts.",
  description: [
    "Replays what the server still has, then follows. A lost connection is resumed where it broke, for as long as it takes; only a server that does not answer the very first time is an error (exit code 4). Events go to stdout, everything else to stderr.",
    "Ends with 0 when all that is watched has ended for good, with 3 if the position to resume from is no longer retained, with 130 on Ctrl-C.",
  ],
  options: watchOptions,
  examples: [
    ["tailrace watch --last 20", "the last 20 events of everything, and what comes"],
    ["tailrace watch --worker build --if-missing wait", "one worker, which may not have begun"],
    ["tailrace watch --job 01JD3Z", "one job, from its first event to its end"],
    ["tailrace watch --since 5m --kinds output", "the output of the last five minutes"],
    ["tailrace watch --checkpoint ./cursor --format json >> events.jsonl", "everything into a file, over restarts"],
    ["tailrace watch --format json | head -n 3 | jq .cursor", "the cursors of the first three events"],
  ],
  async run(values): Promise<number> {
    const starts = (["cursor", "since", "last", "start-at"] as const).filter((name) => values[name] !== undefined);
    if (starts.length > 1) {
      throw usageError("watch", `--${starts[1]}`, `Not together with --${starts[0]}: a watch begins at one place.`);
    }
    if (values.job !== undefined && values.worker.length > 0) {
      throw usageError("watch", "--job", "Not together with --worker: a watch is of workers or of one job.");
    }
    const { follow } = await import("../watch/follow.ts");
    return follow(values);
  },
});
