import { type JetStreamManager, jetstream, jetstreamManager, type StreamInfo } from "@nats-io/jetstream";
import { type Clock, systemClock } from "../../base/clock.ts";
import { invalidRequest } from "../../base/errors.ts";
import { type ReportError, safeReport } from "../../base/incident.ts";
import { limits, type RetentionLimits } from "../../base/limits.ts";
import type { EventLog } from "../contract.ts";
import { resolveRetention } from "../index/retention.ts";
import {
  bornNow,
  fits,
  type Identity,
  type KeptIdentity,
  noteIdentity,
  readIdentity,
  writeIdentity,
} from "./bucket/identity.ts";
import { Meta } from "./bucket/meta.ts";
import { Snapshots } from "./bucket/snapshots.ts";
import { askForSnapshot } from "./bucket/wanted.ts";
import { type NatsLink, openLink } from "./connection/connect.ts";
import type { NatsConnectOptions } from "./connection/connect-options.ts";
import { allOf, missingRight } from "./connection/rights.ts";
import { isNoAnswer, isShortOfServers, openErrorOf, openFailed } from "./errors.ts";
import { StreamGap } from "./fold/assembly.ts";
import { Fold } from "./fold/fold.ts";
import { restoreSnapshot } from "./fold/snapshot.ts";
import { JetStreamLog } from "./jetstream-log.ts";
import { NewerFormat } from "./stream/messages.ts";
import { maxReplicas } from "./stream/replicas.ts";
import type { StreamOptions } from "./stream/settings.ts";
import { ensureStream, ensureStreams, findStream, isNoStream, silentPart } from "./stream/stream.ts";
import { isNamespace, streamOf, subjectsOf } from "./stream/subjects.ts";

export interface JetStreamLogOptions extends NatsConnectOptions {
  /** Names the log among those on the same NATS: 1 to 64 letters, digits, "_" and "-". */
  readonly namespace: string;
  /** Servers of NATS that hold each event, 1 to 5. Default: 1. More than one needs a cluster. */
  readonly replicas?: number | undefined;
  /**
   * Whether to open only a log that exists, with as many replicas and bytes as it has: `replicas` and `maxBytes` count for
   * nothing. Default: false.
   */
  readonly mustExist?: boolean | undefined;
  /** Bytes that the stream may take, a wall that publishers meet. Default: what NATS allows. */
  readonly maxBytes?: number | undefined;
  /** Id of the runtime, at most 256 bytes, for a log that does not exist yet. Default: a random one. */
  readonly runtimeId?: string | undefined;
  /** What bounds the history. Of several servers, that of the one that looks after the stream holds. Default: `defaultRetention`. */
  readonly retention?: Partial<RetentionLimits> | undefined;
  /** Says when events are accepted. Default: NATS does, by its own clock. */
  readonly clock?: Clock | undefined;
  /** Takes what goes wrong in the background and is tried again, at most once a minute each. Default: standard error. */
  readonly onError?: ReportError | undefined;
}

/** Milliseconds that NATS has to make what sends the tail. It is asked again, perhaps another server by then. */
const answerMs = 2_000;

/** Times that a log is opened again because its stream was changed meanwhile. */
const maxTries = 5;

/** Milliseconds that one question to JetStream may take while opening, and until it is asked again. */
const questionMs = 2_000;
const askAgainMs = 100;

/**
 * Opens the log of a namespace, or makes one. Any number of servers may have it open.
 *
 * @throws TailraceError `log_open_failed`, whose message says what to do, or `invalid_request` for options.
 */
export async function openJetStreamLog(options: JetStreamLogOptions): Promise<EventLog> {
  const retention = resolveRetention(options.retention);
  const stream = streamOptionsOf(options);
  const { runtimeId } = options;
  if (
    runtimeId !== undefined &&
    (runtimeId === "" || !runtimeId.isWellFormed() || Buffer.byteLength(runtimeId) > limits.maxIdBytes)
  ) {
    throw invalidRequest("runtimeId", `must have 1 to ${limits.maxIdBytes} bytes of well-formed text`);
  }
  const clock = options.clock ?? systemClock;
  const link = await openLink(options, clock);
  try {
    const manager = await jetstreamManager(link.connection, { checkAPI: false, timeout: questionMs });
    const saysTime = clock !== systemClock;
    const report = safeReport(options.onError);
    const mustExist = options.mustExist === true;
    const opening = { mustExist, link, manager, stream, retention, runtimeId, clock, saysTime, report };
    const deadline = performance.now() + limits.natsOpenMs;
    const metBy = performance.now() + limits.natsMeetMs;
    for (let left = maxTries; left > 0; ) {
      try {
        const log = await tryToOpen(opening);
        if (log !== undefined) return log;
        left--;
      } catch (error) {
        // Who deletes a log has two streams to delete, and its servers are started again meanwhile.
        if (isNoStream(error)) left--;
        // Servers of a cluster that has just begun may not know each other yet.
        else if (isShortOfServers(error)) {
          if (performance.now() > metBy) throw error;
        } else if (!isNoAnswer(error)) throw error;
        // A cluster that lost a server a moment ago has streams without a leader.
        else if (performance.now() > deadline) throw await silentPart(manager, link.servers, stream.namespace, error);
      }
      await new Promise((resolve) => setTimeout(resolve, askAgainMs));
    }
    throw openFailed(
      "io",
      `The stream of the log ${stream.namespace} keeps changing. Open it again when that is over.`,
    );
  } catch (error) {
    await link.close();
    if (error instanceof NewerFormat) {
      throw openFailed(
        "newer_format",
        `The log ${stream.namespace} was written by a newer release (${error.message}). Use that release.`,
        error,
      );
    }
    throw openErrorOf(link.servers, error, stream.replicas);
  }
}

interface Opening {
  readonly link: NatsLink;
  readonly manager: JetStreamManager;
  readonly stream: StreamOptions;
  readonly mustExist: boolean;
  readonly retention: RetentionLimits;
  readonly runtimeId: string | undefined;
  readonly clock: Clock;
  readonly saysTime: boolean;
  readonly report: ReportError;
}

/** Undefined: what is known of the stream had to be changed first. */
async function tryToOpen(opening: Opening): Promise<JetStreamLog | undefined> {
  const { link, manager, stream, runtimeId } = opening;
  const { namespace } = stream;
  if (opening.mustExist && (await findStream(manager, streamOf(namespace))) === undefined) {
    throw openFailed("not_a_log", `There is no log ${namespace} in NATS at ${link.servers}. Check the namespace.`);
  }
  await ensureStreams(manager, stream);
  const meta = await Meta.open(link.connection, namespace);
  // One that is missing shows otherwise only when it is needed: the stream would grow without a word.
  const refusal = await missingRight(link.connection, allOf(namespace));
  if (refusal !== undefined) throw refusal;
  // Before the stream is looked at: other servers raise the mark as the stream goes on.
  const before = await readIdentity(meta);
  const found = await lookAtStream(manager, stream, before?.identity);
  const isKnown = before !== undefined && fits(before.identity, found);
  const kept = isKnown
    ? before
    : await writeIdentity(meta, bornNow(found, before?.identity, runtimeId), before?.revision);
  if (kept === undefined) return undefined;
  const { identity } = kept;
  await noteIdentity(manager, found, identity);
  const snapshots = new Snapshots(meta, identity.generation);
  const fold = new Fold(opening.retention, identity.baseSequence, identity.bornAt);
  const snapshot = await snapshots.read();
  if (snapshot !== undefined) restoreSnapshot(fold, snapshot.bytes);
  const client = jetstream(link.connection, { timeout: answerMs });
  const patient = await jetstreamManager(link.connection, { checkAPI: false, timeout: limits.natsAnswerMs });
  const log = new JetStreamLog({
    ...opening,
    manager: patient,
    quick: manager,
    client,
    meta,
    snapshots,
    namespace,
    kept,
    fold,
  });
  try {
    await log.follow(found.state.last_seq, await newestThere(manager, namespace));
    await log.start();
    return log;
  } catch (error) {
    await log.abandon();
    // What was waited for went with the stream that it was in.
    if ((await findStream(manager, streamOf(namespace)))?.created !== found.created) return undefined;
    if (!(error instanceof StreamGap)) throw error;
    // Another server may have kept a newer one, and removed what that makes needless.
    const newest = await snapshots.read();
    const through = snapshot?.through ?? 0;
    if ((newest?.through ?? 0) > through) return undefined;
    const { last_seq: last } = found.state;
    const alone = await askForSnapshot(meta, snapshots, identity.generation, last, through);
    if (alone !== undefined) await beginAnew(meta, alone, opening);
    return undefined;
  }
}

/** The stream as it is now. What seems to have lost messages is looked at again: one that has just lost the lead may say so. */
async function lookAtStream(
  manager: JetStreamManager,
  options: StreamOptions,
  known: Identity | undefined,
): Promise<StreamInfo> {
  for (let left = maxTries; ; left--) {
    const found = await ensureStream(manager, options);
    if (left === 0 || known === undefined || fits(known, found) || found.created !== known.streamCreated) return found;
    await new Promise((resolve) => setTimeout(resolve, askAgainMs));
  }
}

/** Sequence of the newest message that is in the stream, which somebody may have taken the end of; 0: none is. */
async function newestThere(manager: JetStreamManager, namespace: string): Promise<number> {
  const last_by_subj = subjectsOf(namespace);
  return (await manager.streams.getMessage(streamOf(namespace), { last_by_subj }))?.seq ?? 0;
}

/** Messages are missing that nobody has folded who is still there: what was told of them can't be kept. */
async function beginAnew(meta: Meta, kept: KeptIdentity, { manager, stream, runtimeId }: Opening): Promise<void> {
  const found = await ensureStream(manager, stream);
  await writeIdentity(meta, bornNow(found, kept.identity, runtimeId), kept.revision);
}

function streamOptionsOf({ namespace, mustExist, replicas = 1, maxBytes }: JetStreamLogOptions): StreamOptions {
  if (!isNamespace(namespace)) throw invalidRequest("namespace", 'must be 1 to 64 letters, digits, "_" and "-"');
  if (!Number.isInteger(replicas) || replicas < 1 || replicas > maxReplicas) {
    throw invalidRequest("replicas", `must be a whole number from 1 to ${maxReplicas}`);
  }
  if (maxBytes !== undefined && !(Number.isSafeInteger(maxBytes) && maxBytes > 0)) {
    throw invalidRequest("maxBytes", "must be a whole number of bytes from 1 up");
  }
  const exists = mustExist === true;
  return { namespace, replicas: exists ? undefined : replicas, maxBytes: exists ? undefined : maxBytes };
}
