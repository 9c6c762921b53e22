import type { JetStreamManager } from "@nats-io/jetstream";
import type { ScopeEntry } from "../../index/scope-entry.ts";
import type { Fold } from "../fold/fold.ts";
import { streamInfo } from "../stream/info.ts";
import { eventSubject, streamOf, subjectsOf } from "../stream/subjects.ts";
import { visitLive } from "./live.ts";
import type { Sweep } from "./sweep.ts";

/** Messages of a subject that must be dead, beside as many as are alive, for it to be worth a purge of its own. */
const minDead = 64;

/** The first message, and how many, of a subject that something retained is in. */
interface LiveMessages {
  first: number;
  last: number;
  count: number;
}

/**
 * Removes messages in which nothing is retained any more: those before the first that something is in, and, behind that,
 * those of workers and jobs that gave more than they keep, and then one by one.
 *
 * @param sweep of this stream.
 * @param kept sequence in the stream up to which a snapshot, whoever's, holds everything: what comes later is needed by whoever
 *   opens the log next.
 * @param thorough also what is not much beside what is alive.
 * @returns how many it removed, or fewer.
 */
export async function purge(
  manager: JetStreamManager,
  namespace: string,
  fold: Fold,
  sweep: Sweep,
  kept: number,
  thorough = false,
): Promise<number> {
  const stream = streamOf(namespace);
  // Of what this server has not folded yet it does not know whether something is retained in it.
  const through = Math.min(kept, fold.last);
  const live = await liveMessages(namespace, fold);
  let first = through + 1;
  for (const messages of live.values()) first = Math.min(first, messages.first);
  const { state } = await streamInfo(manager, stream);
  let removed = 0;
  if (first > state.first_seq) removed += (await manager.streams.purge(stream, { seq: first })).purged;
  if (first > through) return removed;
  const info = await streamInfo(manager, stream, { subjects_filter: subjectsOf(namespace) });
  for (const [subject, count] of Object.entries(info.state.subjects ?? {})) {
    const own = live.get(subject);
    if (!thorough && count < 2 * (own?.count ?? 0) + minDead) continue;
    const seq = Math.min(through + 1, own?.first ?? through + 1);
    if (seq > first) removed += (await manager.streams.purge(stream, { filter: subject, seq })).purged;
  }
  return removed + (await sweep.run(fold, first, through, thorough));
}

/** By subject, also by those of messages with events of several, whichever it was. */
async function liveMessages(namespace: string, fold: Fold): Promise<Map<string, LiveMessages>> {
  const { index } = fold;
  const live = new Map<string, LiveMessages>();
  // Said once for each worker and job: there may be a million events of a few of them.
  const known = new Map<ScopeEntry, Map<ScopeEntry | undefined, readonly LiveMessages[]>>();
  const messagesOf = (worker: ScopeEntry, job: ScopeEntry | undefined): readonly LiveMessages[] => {
    const byJob = known.get(worker) ?? new Map<ScopeEntry | undefined, readonly LiveMessages[]>();
    const messages = byJob.get(job) ?? messagesAt(live, subjectsOfEvent(namespace, worker, job));
    if (byJob.size === 0) known.set(worker, byJob);
    byJob.set(job, messages);
    return messages;
  };
  await visitLive(fold, (chunk, row, sequence) => {
    const messages = messagesOf(index.holders.workerOf(chunk, row), index.holders.jobOf(chunk, row));
    for (const one of messages) note(one, sequence);
  });
  return live;
}

/** The subjects of messages that an event of a worker and a job may be in. */
function subjectsOfEvent(namespace: string, worker: ScopeEntry, job: ScopeEntry | undefined): readonly string[] {
  const jobIds = [job?.id ?? "", undefined];
  return [worker.id, undefined].flatMap((workerId) => jobIds.map((jobId) => eventSubject(namespace, workerId, jobId)));
}

function messagesAt(live: Map<string, LiveMessages>, subjects: readonly string[]): readonly LiveMessages[] {
  return subjects.map((subject) => {
    const messages = live.get(subject) ?? { first: 0, last: 0, count: 0 };
    live.set(subject, messages);
    return messages;
  });
}

function note(messages: LiveMessages, sequence: number): void {
  if (messages.count === 0) messages.first = sequence;
  else if (messages.last === sequence) return;
  messages.last = sequence;
  messages.count++;
}
