import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { hasReason, invalidRequest, TailraceError } from "../base/errors.ts";
import type { RetentionLimits } from "../base/limits.ts";
import type { EventLog } from "../log/contract.ts";
import { bucketStreamOf, streamOf } from "../log/jetstream/stream/subjects.ts";
import { CopyClock, copyLog } from "../runtime/migration/copy-log.ts";
import { requireWhole } from "../runtime/migration/unfinished.ts";
import { requireUnserved } from "../runtime/migration/unserved.ts";
import { exitCodes } from "./exit-codes.ts";
import { type NatsSettings, natsLogOptions } from "./options/nats-options.ts";
import { usageError } from "./options/parse.ts";
import type { NatsLogChoice } from "./options/values.ts";
import { say } from "./report.ts";
import { GracefulStop } from "./stop-signals.ts";

/** Milliseconds between two lines that say how far it is. */
const progressMs = 5_000;

/** Nothing goes while it is copied: whoever serves the log next knows what may. */
const keepEverything: RetentionLimits = {
  workerEvents: Number.POSITIVE_INFINITY,
  workerBytes: Number.POSITIVE_INFINITY,
  workerAgeMs: Number.POSITIVE_INFINITY,
  events: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
  ageMs: Number.POSITIVE_INFINITY,
};

/** A directory, or a log in NATS. */
export type LogPlace = string | { readonly choice: NatsLogChoice; readonly settings: NatsSettings };

/** `tailrace migrate`: copies a log to an empty one. */
export async function migrate(from: LogPlace, to: LogPlace): Promise<number> {
  using stop = new GracefulStop();
  // Opening would make a log of it.
  if (typeof from === "string" && (await entriesOf(from)).length === 0) {
    throw usageError("migrate", "--from", `There is no log in ${resolve(from)}.`);
  }
  if (typeof to === "string" && (await entriesOf(to)).length > 0) {
    throw usageError(
      "migrate",
      "--to",
      `${resolve(to)} is not empty. Name a new directory, or delete this one if a copy was not finished there.`,
    );
  }
  const clock = new CopyClock();
  const [openSource, openTarget] = [openerOf(from, true), openerOf(to)];
  await using source = closing(await openSource({ retention: keepEverything }));
  const { runtimeId } = source.log.identity;
  let isBegun = false;
  try {
    // Before there is a target that would have to be deleted.
    requireWhole(source.log);
    await requireUnserved(source.log, clock, stop.signal);
    await using target = closing(await openTarget({ retention: keepEverything, runtimeId, clock }));
    requireWhole(target.log);
    // A server that was started too early may have made it, and ended since.
    if (target.log.identity.runtimeId !== runtimeId) {
      throw invalidRequest(
        "to",
        `is that of another runtime. Delete ${deletedAs(to)}, and copy before a server uses it`,
      );
    }
    isBegun = true;
    let saidAt = performance.now();
    const { events } = await copyLog({
      source: source.log,
      target: target.log,
      clock,
      place: deletedAs(to),
      signal: stop.signal,
      onProgress: (copied) => {
        if (performance.now() - saidAt < progressMs) return;
        saidAt = performance.now();
        say(`${copied} events so far`);
      },
    });
    await target.close();
    say(`copied ${events} events. Cursors of the old log are unknown to the new one.`);
    return exitCodes.ok;
  } catch (error) {
    if (hasReason(error, "invalid_request") && ["from", "to"].includes(error.details.field)) {
      throw usageError("migrate", `--${error.details.field}`, `The log ${error.details.description}.`);
    }
    if (stop.signal.aborted) say("stopped before it was done.");
    else if (error instanceof TailraceError) say(error.message);
    else throw error;
    if (isBegun) say(`What was copied so far is no whole log: delete ${deletedAs(to)} before you try again.`);
    return exitCodes.failed;
  }
}

/** What to delete for a log to be gone. */
function deletedAs(place: LogPlace): string {
  if (typeof place === "string") return `the directory ${resolve(place)}`;
  const { namespace = "" } = place.settings;
  return `the streams ${streamOf(namespace)} and ${bucketStreamOf(namespace)} in NATS`;
}

interface OpenOptions {
  readonly retention: RetentionLimits;
  readonly runtimeId?: string;
  readonly clock?: CopyClock;
}

/**
 * How to open a log. What is wrong with the settings of one is said before either is opened.
 * @param mustExist and how many replicas it has it says itself.
 */
function openerOf(place: LogPlace, mustExist = false): (options: OpenOptions) => Promise<EventLog> {
  if (typeof place === "string") {
    return async (options) => {
      const { openEmbeddedLog } = await import("../log/embedded/index.ts");
      // What is written is on the disk once the log is closed, and before that it is no whole log.
      return openEmbeddedLog({ ...options, directory: resolve(place), durability: "process" });
    };
  }
  const nats = natsLogOptions(place.choice, place.settings);
  return async (options) => {
    const { openJetStreamLog } = await import("../log/jetstream/index.ts");
    return openJetStreamLog({ ...nats, mustExist, ...options });
  };
}

interface Closing extends AsyncDisposable {
  readonly log: EventLog;
  close(): Promise<void>;
}

function closing(log: EventLog): Closing {
  const close = () => log.close();
  return { log, close, [Symbol.asyncDispose]: close };
}

/** What is in a directory, but for what a file system puts there. */
async function entriesOf(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => name !== "lost+found");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
