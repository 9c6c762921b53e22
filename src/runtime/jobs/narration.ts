import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { NarrationLevel } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { PayloadInit } from "../worker.ts";
import type { LevelName, NarrateOptions, ProgressInit } from "./operation.ts";

const levels: Readonly<Record<LevelName, NarrationLevel>> = {
  debug: NarrationLevel.DEBUG,
  info: NarrationLevel.INFO,
  warn: NarrationLevel.WARN,
  error: NarrationLevel.ERROR,
};

/** The payload of a narration. */
export function narrationPayload(action: string, message: string, options: NarrateOptions = {}): PayloadInit {
  const { level, retryAfterMs, durationMs, inputTokens, outputTokens } = options;
  const texts = textsOf(options);
  return {
    case: "narration",
    value: {
      action,
      message,
      level: typeof level === "string" ? levels[level] : (level ?? NarrationLevel.INFO),
      ...texts,
      ...(retryAfterMs === undefined ? {} : { retryAfter: durationFromMs(retryAfterMs) }),
      ...(options.queuePosition === undefined ? {} : { queuePosition: options.queuePosition }),
      ...(durationMs === undefined ? {} : { duration: durationFromMs(durationMs) }),
      ...(inputTokens === undefined ? {} : { inputTokens: BigInt(inputTokens) }),
      ...(outputTokens === undefined ? {} : { outputTokens: BigInt(outputTokens) }),
    },
  };
}

/** The payload of a progress. */
export function progressPayload({ task = "", done, total, unit = "", message = "" }: ProgressInit): PayloadInit {
  return {
    case: "progress",
    value: { task, done, unit, message, ...(total === undefined ? {} : { total }) },
  };
}

/** The text fields that a narration has under the same name. */
function textsOf(options: NarrateOptions) {
  const { actor = "", target = "", human = "", cute = "", story = "" } = options;
  const { emittedBy = "", errorKind = "", traceId = "", spanId = "" } = options;
  return { actor, target, human, cute, story, emittedBy, errorKind, traceId, spanId };
}
