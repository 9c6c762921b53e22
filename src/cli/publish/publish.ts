import type { NewEvent } from "../../../gen/tailrace/v1/event_pb.ts";
import { hasReason } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { createPublisher, type PublishReceipt } from "../../client/index.ts";
import type { publishOptions } from "../commands/publish.ts";
import { exitCodes } from "../exit-codes.ts";
import { chosenCommandServer } from "../options/server-option.ts";
import type { OptionValues } from "../options/spec.ts";
import { say } from "../report.ts";
import { GracefulStop, signalExitCode } from "../stop-signals.ts";
import { splitLines } from "./line-splitter.ts";
import { jsonReader, textReader, wrongLine } from "./read-event.ts";

/** Events of one call. Small, so that a mistake that only the server sees costs few others. */
const maxCallEvents = 500;

interface Batch {
  readonly events: NewEvent[];
  /** Number of each event's line. */
  readonly lines: number[];
}

/** `tailrace publish`: lines from stdin to events. */
export async function publish(values: OptionValues<typeof publishOptions>): Promise<number> {
  const server = chosenCommandServer(values);
  using stop = new GracefulStop();
  const giveUp = new AbortController();
  let published = 0;
  let newest: PublishReceipt | undefined;
  let failure: { readonly error: unknown } | undefined;
  const publisher = createPublisher({
    baseUrl: server,
    signal: giveUp.signal,
    onRetry: ({ delayMs, error }) => {
      // The first answer tells whether there is a server at all; from then on it is waited for.
      if (newest === undefined || stop.signal.aborted) giveUp.abort();
      else if (!values.quiet) say(`${error.message} Trying again in ${(delayMs / 1000).toFixed(1)} s.`);
    },
  });
  stop.signal.addEventListener("abort", () => process.stdin.destroy());

  const send = async (batch: Batch): Promise<void> => {
    await publisher.ready();
    if (failure !== undefined) return;
    publisher.publish(batch.events).then(
      (receipt) => {
        newest = receipt;
        published += batch.events.length;
      },
      (error: unknown) => {
        failure ??= { error: atLine(error, batch) };
        process.stdin.destroy();
      },
    );
  };

  const read = values.text ? textReader(values.worker as string) : jsonReader(values.worker);
  try {
    for await (const lines of splitLines(process.stdin)) {
      let batch: Batch = { events: [], lines: [] };
      let bytes = 0;
      try {
        for (const line of lines) {
          const event = read(line);
          if (event === undefined) continue;
          batch.events.push(event);
          batch.lines.push(line.number);
          bytes += line.bytes.length;
          if (batch.events.length >= maxCallEvents || bytes >= limits.maxFrameBytes) {
            await send(batch);
            batch = { events: [], lines: [] };
            bytes = 0;
          }
        }
      } finally {
        // Also before a line that makes no sense: what was right up to there counts.
        if (batch.events.length > 0) await send(batch);
      }
      if (failure !== undefined) break;
    }
  } catch (error) {
    // What ended the input on purpose tells more than that it ended early.
    if (failure === undefined && !stop.signal.aborted) failure = { error };
  }
  await publisher.close();
  if (!values.quiet) say(`published ${published} ${published === 1 ? "event" : "events"}`);
  if (newest !== undefined) process.stdout.write(`${newest.cursor}\n`);
  if (failure !== undefined) throw failure.error;
  return stop.received === undefined ? exitCodes.ok : signalExitCode(stop.received);
}

/** The server names an event by its place in the call; whoever wrote the lines knows only lines. */
function atLine(error: unknown, batch: Batch): unknown {
  if (!hasReason(error, "invalid_request")) return error;
  const [, place, rest] = /^events\[(\d+)\]\.?(.*)$/.exec(error.details.field) ?? [];
  const line = place === undefined ? undefined : batch.lines[Number(place)];
  if (line === undefined) return error;
  const field = rest === undefined || rest === "" ? "" : `${rest}: `;
  return wrongLine({ number: line }, `${field}${error.details.description}`);
}
