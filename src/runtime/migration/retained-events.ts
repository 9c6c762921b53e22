import { invalidRequest } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { EventBlock } from "../../log/block.ts";
import type { EventLog, Scope } from "../../log/contract.ts";

/** Events [`from`, `to`) of a block. */
export interface EventRange {
  readonly block: EventBlock;
  readonly from: number;
  readonly to: number;
}

/** Events that are held at once of those that only their worker or job still shows. Each may have 512 KiB. */
const windowEvents = 256;

const runtimeScope: Scope = { kind: "runtime" };

/**
 * All events that a log retains up to a sequence, in order. The runtime's own scope does not show those at or below its
 * floor, which rises with whoever is trimmed: what others published before that is found in the scopes of its workers and
 * jobs.
 *
 * @throws TailraceError `invalid_request` if something is trimmed meanwhile.
 */
export async function* retainedEvents(log: EventLog, end: number): AsyncGenerator<EventRange> {
  const floor = Math.min(log.bounds(runtimeScope).floor.sequence, end);
  yield* olderEvents(log, floor);
  for await (const block of blocks(log, runtimeScope, floor, end)) yield { block, from: 0, to: block.length };
}

/** Where an event is found. */
interface Place {
  readonly sequence: number;
  readonly scope: Scope;
}

async function* olderEvents(log: EventLog, floor: number): AsyncGenerator<EventRange> {
  const places = await olderPlaces(log, floor);
  for (let at = 0; at < places.length; at += windowEvents) {
    const window = places.slice(at, at + windowEvents);
    const until = window.at(-1)?.sequence as number;
    const found = new Map<number, EventRange>();
    for (const [scope, [first]] of Map.groupBy(window, ({ scope }) => scope)) {
      for await (const block of blocks(log, scope, (first as Place).sequence - 1, until)) {
        for (let i = 0; i < block.length; i++) {
          found.set(block.sequences[i] as number, { block, from: i, to: i + 1 });
        }
      }
    }
    for (const { sequence } of window) {
      const event = found.get(sequence);
      if (event === undefined) throw lost();
      yield event;
    }
  }
}

/** Events that only workers and jobs show, in order, each once. */
async function olderPlaces(log: EventLog, floor: number): Promise<Place[]> {
  const places = new Map<number, Scope>();
  for (const scope of scopesOf(log)) {
    const after = log.bounds(scope).floor.sequence;
    for await (const { length, sequences } of blocks(log, scope, after, floor)) {
      for (let i = 0; i < length; i++) places.set(sequences[i] as number, scope);
    }
  }
  return [...places].map(([sequence, scope]) => ({ sequence, scope })).sort((a, b) => a.sequence - b.sequence);
}

function* scopesOf(log: EventLog): Generator<Scope> {
  for (const { workerId, retainedEvents } of log.workers()) {
    if (retainedEvents > 0) yield { kind: "workers", workerIds: [workerId] };
  }
  for (const { jobId, retainedEvents } of log.jobs()) {
    if (retainedEvents > 0) yield { kind: "job", jobId };
  }
}

async function* blocks(log: EventLog, scope: Scope, from: number, until: number): AsyncGenerator<EventBlock> {
  for (let after = from; after < until; ) {
    const page = await log.read({
      scope,
      kinds: undefined,
      after,
      until,
      maxEvents: limits.catchUpPassEvents,
      maxBytes: limits.catchUpPassBytes,
    });
    if (page.kind === "expired") throw lost();
    if (page.block !== undefined) yield page.block;
    if (page.through.sequence <= after) return;
    after = page.through.sequence;
  }
}

function lost() {
  return invalidRequest("from", "lost events while it was copied. Stop every server of it, and begin again");
}
