import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { dirname } from "node:path";
import type { Checkpoint, EventKind, WatchStatus } from "../../client/index.ts";
import { fileCheckpoint, watch } from "../../client/index.ts";
import type { watchOptions } from "../commands/watch.ts";
import { exitCodes } from "../exit-codes.ts";
import { usageError } from "../options/parse.ts";
import { chosenServer } from "../options/server-option.ts";
import type { OptionValues } from "../options/spec.ts";
import { onReaderLeft } from "../output/reader-left.ts";
import { styleFor } from "../output/style.ts";
import { TextWriter } from "../output/writer.ts";
import { say } from "../report.ts";
import { GracefulStop, signalExitCode } from "../stop-signals.ts";
import { JsonPresenter, type Presenter, PrettyPresenter } from "./presenter.ts";
import { StatusLines } from "./status-lines.ts";

/** Milliseconds for which an unfinished line of output waits for its end before it is shown as it is. */
const holdBackMs = 250;

/** `tailrace watch`: events to stdout until the scope ends, the reader leaves or someone says stop. */
export async function follow(values: OptionValues<typeof watchOptions>): Promise<number> {
  const server = chosenServer(values.server);
  const writer = new TextWriter(process.stdout);
  const presenter = values.format === "json" ? new JsonPresenter() : new PrettyPresenter(styleFor(process.stdout));
  const status = new StatusLines(server);
  using stop = new GracefulStop();
  let opened = false;

  const onStatus = (change: WatchStatus): void => {
    if (change.kind === "opened") opened = true;
    // The first connection is the one that a wrong address or a server that is down shows up in.
    if (change.kind === "reconnecting" && !opened) throw change.error;
    const line = status.line(change);
    if (line !== undefined && (!values.quiet || change.kind === "gap" || change.kind === "sequence_hole")) say(line);
  };

  if (values.checkpoint !== undefined) await requireWritable(values.checkpoint);
  const watched = watch({
    baseUrl: server,
    ...(values.worker.length === 0 ? {} : { workerIds: values.worker }),
    ...(values.job === undefined ? {} : { jobId: values.job }),
    ...(values.kinds.length === 0 ? {} : { kinds: values.kinds as readonly EventKind[] }),
    ...(values.cursor === undefined ? {} : { cursor: values.cursor }),
    ...(values.since === undefined ? {} : { since: values.since }),
    ...(values.last === undefined ? {} : { last: values.last }),
    ...(values["start-at"] === undefined ? {} : { startAt: values["start-at"] }),
    ...(values["on-expired"] === undefined ? {} : { onExpired: values["on-expired"] }),
    ...(values["if-missing"] === undefined ? {} : { ifMissing: values["if-missing"] }),
    ...(values.heartbeat === undefined ? {} : { heartbeatMs: values.heartbeat }),
    ...(values.checkpoint === undefined
      ? {}
      : { checkpoint: afterFlush(fileCheckpoint(values.checkpoint), writer, presenter) }),
    // A job has only some of its worker's events.
    verifyWorkerSequence: values.kinds.length === 0 && values.job === undefined,
    signal: AbortSignal.any([stop.signal, writer.closed]),
    onStatus,
  });

  const holdBack = new HoldBack(presenter, writer);
  const stopLooking = onReaderLeft(() => writer.close());
  try {
    for await (const batch of watched.batches()) {
      for (const event of batch.events) {
        const full = writer.write(presenter.present(event));
        if (full !== undefined) await full;
      }
      holdBack.touch();
      const line = status.replay.advance(batch.events);
      if (line !== undefined && !values.quiet) say(line);
    }
  } finally {
    holdBack.stop();
    stopLooking();
    void writer.write(presenter.flush());
    await writer.flush();
  }
  return stop.received === undefined ? exitCodes.ok : signalExitCode(stop.received);
}

/** A position is saved only when all text up to it has left the process: else a crash would lose what was still on its way. */
function afterFlush(checkpoint: Checkpoint, writer: TextWriter, presenter: Presenter): Checkpoint {
  return {
    load: () => checkpoint.load(),
    async save(cursor) {
      void writer.write(presenter.flush());
      await writer.flush();
      // A reader that left has not read what was written last; whoever comes next should see it.
      if (!writer.closed.aborted) await checkpoint.save(cursor);
    },
  };
}

/** Shows a prompt or a progress bar that never ends its line, after a while. */
class HoldBack {
  readonly #presenter: Presenter;
  readonly #writer: TextWriter;
  #timer: NodeJS.Timeout | undefined;

  constructor(presenter: Presenter, writer: TextWriter) {
    this.#presenter = presenter;
    this.#writer = writer;
  }

  touch(): void {
    if (this.#presenter.holdsBack) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        void this.#writer.write(this.#presenter.flush());
      }, holdBackMs);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** Says at the start what would otherwise show only when the first position is to be saved. */
async function requireWritable(checkpoint: string): Promise<void> {
  const directory = dirname(checkpoint);
  try {
    await access(directory, constants.W_OK | constants.X_OK);
  } catch {
    throw usageError("watch", "--checkpoint", `The position can't be saved: ${directory} is no directory to write to.`);
  }
}
