import { crc32 } from "node:zlib";
import type { Clock } from "../base/clock.ts";
import { TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { AppendResult, EventLog, PendingEvent, StatePut } from "../log/contract.ts";
import { readResult, resultBytes, writeResult } from "../log/state-put.ts";
import { ageTime } from "./decided.ts";
import { memoryOf } from "./publisher.ts";

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

/**
 * Appends the events with the state that `decide` gives, in one batch. Where others write to the log as well, `decide` may be
 * called again. Undefined: it gave none, so nothing was appended.
 */
export type AppendWithState = (
  decide: () => ReadonlyMap<string, StatePut> | undefined,
) => Promise<AppendResult | undefined>;

/** Where the log's state keeps what is remembered of a producer. */
export const producerPrefix = "producer/";

/**
 * Makes retries harmless (docs/protocol.md, "Publishing"): one batch of a producer at a time, a repeat gets its first
 * answer, and what is remembered is committed in the same batch as the events. What is decided is decided from committed
 * state, so that a repeat may come to any of the servers that share a log. Bounded by limits.maxProducers,
 * limits.maxProducerBatches and limits.producerMemoryMs.
 */
export class Producers {
  readonly #log: EventLog;
  readonly #clock: Clock;
  /** When those that are remembered were last used, in that order. */
  readonly #lastUseMs = new Map<string, number>();
  /** The producers with batches that are not answered yet: the newest of those, and what all of them hold in memory. */
  readonly #busy = new Map<string, { newest: Promise<unknown>; bytes: number }>();
  #pendingBytes = 0;
  /** Producers that batches on their way make room for themselves by forgetting. */
  readonly #leaving = new Set<string>();

  constructor(log: EventLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    const entries: [string, number][] = [];
    for (const [key, value] of log.stateEntries(producerPrefix)) {
      entries.push([key.slice(producerPrefix.length), lastUseOf(value)]);
    }
    entries.sort((a, b) => a[1] - b[1]);
    for (const [id, lastUseMs] of entries) this.#lastUseMs.set(id, lastUseMs);
    // As long as the log has listeners.
    log.subscribeState(producerPrefix, (key, value) => {
      const id = key.slice(producerPrefix.length);
      // Last in the map is last used.
      this.#lastUseMs.delete(id);
      if (value !== undefined) this.#lastUseMs.set(id, lastUseOf(value));
    });
  }

  /** Producers that are remembered. */
  get size(): number {
    return this.#lastUseMs.size;
  }

  /**
   * Publishes a batch of a producer once. `duplicate`: it was there already, and this is its first answer.
   * @throws TailraceError `producer_conflict`, `producer_unknown`, `limit_exceeded` if too much waits for its turn, and what
   *   `append` throws.
   */
  async publish(
    producerId: string,
    first: number,
    events: readonly PendingEvent[],
    append: AppendWithState,
  ): Promise<{ readonly result: AppendResult; readonly duplicate: boolean }> {
    const bytes = memoryOf(events);
    const own = this.#admit(producerId, bytes);
    const before = own.newest;
    const turn = (async () => {
      // Whether the batch before failed says nothing about this one.
      await before.catch(() => undefined);
      return this.#publishInTurn(producerId, { first, count: events.length, checksum: checksumOf(events) }, append);
    })();
    own.newest = turn;
    try {
      return await turn;
    } finally {
      own.bytes -= bytes;
      this.#pendingBytes -= bytes;
      if (own.newest === turn) this.#busy.delete(producerId);
    }
  }

  /** Takes room for a batch until it is answered: one that waits for its turn is in no budget of the log's. */
  #admit(producerId: string, bytes: number) {
    const own = this.#busy.get(producerId) ?? { newest: Promise.resolve(), bytes: 0 };
    for (const [limit, pending] of [
      ["maxProducerPendingBytes", own.bytes],
      ["maxProducersPendingBytes", this.#pendingBytes],
    ] as const) {
      const maximum = limits[limit];
      if (pending + bytes <= maximum) continue;
      throw new TailraceError(
        "limit_exceeded",
        { limit, maximum, retryAfterMs: 100 },
        "Too many batches of producers wait for those before them. Publish again a little later, or in smaller batches.",
      );
    }
    this.#busy.set(producerId, own);
    own.bytes += bytes;
    this.#pendingBytes += bytes;
    return own;
  }

  async #publishInTurn(producerId: string, batch: Omit<RememberedBatch, "result">, append: AppendWithState) {
    let answered: AppendResult | undefined;
    let outdated: readonly string[] = [];
    const decide = () => {
      for (const id of outdated) this.#leaving.delete(id);
      outdated = [];
      const now = ageTime(this.#log, this.#clock);
      const batches = this.#remembered(producerId, now);
      answered = answerTo(batch, batches);
      if (answered !== undefined) return undefined;
      requireNext(producerId, batch.first, batches);
      const state = new Map<string, StatePut>();
      outdated = [...this.#outdated(producerId, now)];
      for (const id of outdated) {
        state.set(`${producerPrefix}${id}`, null);
        this.#leaving.add(id);
      }
      const kept = batches.slice(1 - limits.maxProducerBatches);
      const bytes = encodeProducer(kept, batch);
      return state.set(`${producerPrefix}${producerId}`, { bytes, resultAt: newestResultAt });
    };
    try {
      const appended = await append(decide);
      return { result: (appended ?? answered) as AppendResult, duplicate: appended === undefined };
    } finally {
      for (const id of outdated) this.#leaving.delete(id);
    }
  }

  /** The batches that a producer is remembered by; none if it was not used for too long. */
  #remembered(producerId: string, now: number): readonly RememberedBatch[] {
    const value = this.#log.state(`${producerPrefix}${producerId}`);
    if (value === undefined) return [];
    const { batches, lastUseMs } = readProducer(value);
    return now - lastUseMs <= limits.producerMemoryMs ? batches : [];
  }

  /** Producers to forget so that one more fits. Those with a batch on its way are in use. */
  *#outdated(producerId: string, now: number): Generator<string> {
    let over = this.#lastUseMs.size - this.#leaving.size - limits.maxProducers;
    // Each of them is counted only where it matters, because there may be thousands.
    if (over + this.#busy.size > 0) for (const id of this.#busy.keys()) if (!this.#lastUseMs.has(id)) over++;
    for (const [id, lastUseMs] of this.#lastUseMs) {
      if (over <= 0 && now - lastUseMs <= limits.producerMemoryMs) return;
      if (id === producerId || this.#busy.has(id) || this.#leaving.has(id)) continue;
      over--;
      yield id;
    }
  }
}

/** The answer that a batch got before; undefined: it is none of these. */
function answerTo(
  { first, count, checksum }: Omit<RememberedBatch, "result">,
  batches: readonly RememberedBatch[],
): AppendResult | undefined {
  const same = batches.find((batch) => batch.first === first);
  return same?.count === count && same.checksum === checksum ? same.result : undefined;
}

/** @throws TailraceError `producer_conflict`, `producer_unknown` unless a batch from `first` follows these. */
function requireNext(producerId: string, first: number, batches: readonly RememberedBatch[]): void {
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

/** Where the result of the newest batch lies, which says also when the producer was used last. */
const newestResultAt = 0;
/** First, count and checksum of a batch, and its result. */
const batchBytes = 3 * 8 + resultBytes;

function lastUseOf(value: Uint8Array): number {
  return readResult(value, newestResultAt).timeMs;
}

/** What is remembered of a producer as the log's state keeps it: the newest batch first, with room for its result. */
function encodeProducer(kept: readonly RememberedBatch[], newest: Omit<RememberedBatch, "result">): Uint8Array {
  const value = new Uint8Array(newestResultAt + (kept.length + 1) * batchBytes);
  const view = new DataView(value.buffer);
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
  return { batches: batches.reverse(), lastUseMs: lastUseOf(value) };
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
