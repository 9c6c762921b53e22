import { createWorkers, followTranscript, type TranscriptStatus } from "../../client/index.ts";
import type { transcriptOptions } from "../commands/transcript.ts";
import { exitCodes } from "../exit-codes.ts";
import { chosenServer } from "../options/server-option.ts";
import type { OptionValues } from "../options/spec.ts";
import { onReaderLeft } from "../output/reader-left.ts";
import { styleFor } from "../output/style.ts";
import { TextWriter } from "../output/writer.ts";
import { say } from "../report.ts";
import { GracefulStop, signalExitCode } from "../stop-signals.ts";
import { JsonEntries, PrettyEntries, type TranscriptText } from "./transcript-text.ts";

/** `tailrace transcript`: a worker's transcript, once or as it grows. */
export async function showTranscript(
  workerId: string,
  values: OptionValues<typeof transcriptOptions>,
): Promise<number> {
  const baseUrl = chosenServer(values.server);
  const writer = new TextWriter(process.stdout);
  const text = values.json ? new JsonEntries() : new PrettyEntries(styleFor(process.stdout));
  using stop = new GracefulStop();
  const signal = AbortSignal.any([stop.signal, writer.closed]);
  const stopLooking = onReaderLeft(() => writer.close());
  try {
    if (values.follow) await follow(workerId, baseUrl, text, writer, signal);
    else await show(workerId, baseUrl, text, writer, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stopLooking();
    void writer.write(text.end());
    await writer.flush();
  }
  return stop.received === undefined ? exitCodes.ok : signalExitCode(stop.received);
}

async function show(workerId: string, baseUrl: string, text: TranscriptText, writer: TextWriter, signal: AbortSignal) {
  const workers = createWorkers({ baseUrl });
  const transcript = await workers.transcript(workerId, { signal });
  workers.close();
  sayDropped(transcript.droppedEntries);
  for (const entry of transcript.entries) await writer.write(text.entry(entry));
  await writer.write(text.commands(transcript.commands));
}

async function follow(
  workerId: string,
  baseUrl: string,
  text: TranscriptText,
  writer: TextWriter,
  signal: AbortSignal,
) {
  let isFirst = true;
  const onStatus = (status: TranscriptStatus): void => {
    if (status.kind === "reconnecting") {
      // The first connection is the one that a wrong address or a server that is down shows up in.
      if (isFirst) throw status.error;
      if (status.attempt === 1) say(`connection lost (${status.error.message}); trying again`);
    } else if (status.kind === "opened" && status.resumed) say("connected again");
    else if (status.kind === "reread") say(`the transcript is read again: ${status.error.message}`);
  };
  for await (const transcript of followTranscript({ baseUrl, workerId, signal, onStatus }).batches()) {
    if (isFirst) sayDropped(transcript.droppedEntries);
    isFirst = false;
    for (const entry of transcript.changed) {
      const full = writer.write(text.entry(entry));
      if (full !== undefined) await full;
    }
    await writer.write(text.commands(transcript.commands));
  }
}

function sayDropped(count: number): void {
  if (count > 0) say(`${count} older ${count === 1 ? "entry is" : "entries are"} no longer kept`);
}
