import { crc32 } from "node:zlib";
import type { Clock } from "../base/clock.ts";
import { TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { AppendResult, EventLog, PendingEvent, StatePut } from "../log/contract.ts";
import { readResult, resultBytes, writeResult } from "../log/state-put.ts";

/** A batch that a producer published: enough to know it again and to answer it again. */
interface RememberedBatch {
  /** Producer sequence of its first event, and how many events the producer sent. */
  readonly first: number;
  readonly count: number;
  /**
   * Checksum over the bodies. Tells another content under the same numbers, which only a faulty producer sends. A retry
   * in another encoding, JSON for binary, has the same: bodies are canonical, however they came.
   */
  readonly checksum: number;
  readonly result: AppendResult;
}

interface Producer {
  /** Oldest first. */
  readonly batches: readonly RememberedBatch[];
  readonly lastUseMs: number;
}

/** Appends the events with this state, in one batch. */
export type AppendWithState = (state: ReadonlyMap<string, StatePut>) => Promise<AppendResult>;

/** Where the log's state keeps what is remembered of a producer. */
export const producerPrefix = "producer/";

/**
 * Makes retries harmless (docs/protocol.md, "Publishing"): one batch of a producer at a time, a repeat gets its first
 * answer, and what is remembered is committed in the same batch as the events. Bounded by limits.maxProducers,
 * limits.maxProducerBatches and limits.producerMemoryMs.
 */
export class Producers {
  readonly #clock: Clock;
  /** In the order of their last use, oldest first. */
  readonly #known = new Map<string, Producer>();
  /** The newest batch of each producer that is on its way. */
  readonly #busy = new Map<string, Promise<unknown>>();

  constructor(log: EventLog, clock: Clock) {
    this.#clock = clock;
    const entries: [string, Producer][] = [];
    for (const [key, value] of log.stateEntries(producerPrefix)) {
      entries.push([key.slice(producerPrefix.length), readProducer(value)]);
    }
    entries.sort((a, b) => a[1].lastUseMs - b[1].lastUseMs);
    for (const [id, producer] of entries) this.#known.set(id, producer);
  }

  /** Producers that are remembered. */
  get size(): number {
    return this.#known.size;
  }

  /**
   * Publishes a batch of a producer once. `duplicate`: it was there already, and this is its first answer.
   * @throws TailraceError `producer_conflict`, `producer_unknown`, and what `append` throws.
   */
  async publish(
    producerId: string,
    first: number,
    events: readonly PendingEvent[],
    append: AppendWithState,
  ): Promise<{ readonly result: AppendResult; readonly duplicate: boolean }> {
    const before = this.#busy.get(producerId);
    const turn = (async () => {
      // Whether the batch before failed says nothing about this one.
      await before?.catch(() => undefined);
      return this.#publishInTurn(producerId, first, events, append);
    })();
    this.#busy.set(producerId, turn);
    try {
      return await turn;
    } finally {
      if (this.#busy.get(producerId) === turn) this.#busy.delete(producerId);
    }
  }

  async #publishInTurn(producerId: string, first: number, events: readonly PendingEvent[], append: AppendWithState) {
    const now = this.#clock.now();
    const remembered = this.#known.get(producerId);
    const known = remembered !== undefined && now - remembered.lastUseMs <= limits.producerMemoryMs;
    const batches = known ? remembered.batches : [];
    const checksum = checksumOf(events);
    const same = batches.find((batch) => batch.first === first);
    if (same !== undefined && same.count === events.length && same.checksum === checksum) {
      return { result: same.result, duplicate: true };
    }
    this.#requireNext(producerId, first, batches);

    const batch = { first, count: events.length, checksum };
    const kept = batches.slice(1 - limits.maxProducerBatches);
    const state = new Map<string, StatePut>();
    for (const id of this.#outdated(producerId, now)) {
      state.set(`${producerPrefix}${id}`, null);
      this.#known.delete(id);
    }
    state.set(`${producerPrefix}${producerId}`, { bytes: encodeProducer(kept, batch, now), resultAt: newestResultAt });
    const result = await append(state);
    // Last in the map is last used.
    this.#known.delete(producerId);
    this.#known.set(producerId, { batches: [...kept, { ...batch, result }], lastUseMs: now });
    return { result, duplicate: false };
  }

  #requireNext(producerId: string, first: number, batches: readonly RememberedBatch[]): void {
    const newest = batches.at(-1);
    if (newest === undefined) {
      if (first === 1) return;
      throw new TailraceError(
        "producer_unknown",
        { producerId },
        `Nothing is remembered of producer "${producerId}", so what it published before ${first} can't be checked. Begin at 1 under a new producer id.`,
      );
    }
    const expected = newest.first + newest.count;
    if (first === expected) return;
    const description =
      first > expected
        ? `the events from ${expected} to ${first - 1} are missing`
        : "these numbers were used for another batch";
    throw new TailraceError(
      "producer_conflict",
      { expectedProducerSequence: expected, description },
      `The batch does not follow what producer "${producerId}" published: ${description}. ${expected} comes next.`,
    );
  }

  /** Producers to forget so that one more fits. Those with a batch on its way are in use. */
  *#outdated(producerId: string, now: number): Generator<string> {
    let over = this.#known.size - limits.maxProducers + (this.#known.has(producerId) ? 0 : 1);
    for (const [id, producer] of this.#known) {
      if (over <= 0 && now - producer.lastUseMs <= limits.producerMemoryMs) return;
      if (id === producerId || this.#busy.has(id)) continue;
      over--;
      yield id;
    }
  }
}

/** Where the result of the newest batch lies, behind the time of the last use. */
const newestResultAt = 8;
/** First, count and checksum of a batch, and its result. */
const batchBytes = 3 * 8 + resultBytes;

/** What is remembered of a producer as the log's state keeps it: the newest batch first, with room for its result. */
function encodeProducer(
  kept: readonly RememberedBatch[],
  newest: Omit<RememberedBatch, "result">,
  lastUseMs: number,
): Uint8Array {
  const value = new Uint8Array(8 + (kept.length + 1) * batchBytes);
  const view = new DataView(value.buffer);
  view.setFloat64(0, lastUseMs);
  let at = newestResultAt;
  for (const batch of [newest, ...kept.toReversed()]) {
    if ("result" in batch) writeResult(value, at, batch.result as AppendResult);
    view.setFloat64(at + resultBytes, batch.first);
    view.setFloat64(at + resultBytes + 8, batch.count);
    view.setFloat64(at + resultBytes + 16, batch.checksum);
    at += batchBytes;
  }
  return value;
}

function readProducer(value: Uint8Array): Producer {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const batches: RememberedBatch[] = [];
  for (let at = newestResultAt; at < value.length; at += batchBytes) {
    batches.push({
      first: view.getFloat64(at + resultBytes),
      count: view.getFloat64(at + resultBytes + 8),
      checksum: view.getFloat64(at + resultBytes + 16),
      result: readResult(value, at),
    });
  }
  return { batches: batches.reverse(), lastUseMs: view.getFloat64(0) };
}

/** Where the batches went that a producer is remembered by. */
export function resultsOfProducer(value: Uint8Array): AppendResult[] {
  return readProducer(value).batches.map(({ result }) => result);
}

/** The same producer in a log that its batches were copied to. */
export function movedProducer(value: Uint8Array, move: (result: AppendResult) => AppendResult): Uint8Array {
  const moved = value.slice();
  for (let at = newestResultAt; at < moved.length; at += batchBytes)
    writeResult(moved, at, move(readResult(moved, at)));
  return moved;
}

function checksumOf(events: readonly PendingEvent[]): number {
  let checksum = 0;
  for (const { body } of events) checksum = crc32(body, checksum);
  return checksum;
}
