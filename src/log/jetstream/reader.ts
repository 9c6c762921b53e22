import { type DirectStreamAPI, JetStreamError, type JetStreamManager } from "@nats-io/jetstream";
import { limits } from "../../base/limits.ts";
import { unsetBytes } from "../binary.ts";
import { encodeTime } from "../commit/time.ts";
import { type Extent, type Layout, pick } from "../index/extents.ts";
import type { FetchedBytes } from "../readable-log.ts";
import type { Fold } from "./fold.ts";
import { decodeMessage } from "./messages.ts";
import { streamOf } from "./subjects.ts";

/** Status of an answer without messages. */
const notFound = 404;

/** Messages nobody wants between two wanted ones, that cost less than another question. */
const maxGap = 8;

/** The messages that a page needs are not there any more. */
export class MissingMessages extends Error {
  override readonly name = "MissingMessages";
  readonly sequences: readonly number[];

  constructor(sequences: readonly number[]) {
    super(`messages ${sequences.join(", ")} of the stream are not there`);
    this.sequences = sequences;
  }
}

/** Fetches stored bytes from the stream: by the sequences of messages that the index names, never by asking what is there. */
export class Reader {
  readonly #manager: JetStreamManager;
  readonly #direct: DirectStreamAPI;
  readonly #stream: string;
  readonly #fold: Fold;
  readonly #assertAvailable: () => void;

  /** @param assertAvailable throws if there is nobody to ask. */
  constructor(manager: JetStreamManager, namespace: string, fold: Fold, assertAvailable: () => void) {
    this.#assertAvailable = assertAvailable;
    this.#manager = manager;
    this.#direct = manager.direct;
    this.#stream = streamOf(namespace);
    this.#fold = fold;
  }

  /** @throws MissingMessages, and what the client throws. */
  async fetch(layout: Layout, memory: Uint8Array | undefined): Promise<FetchedBytes> {
    const { totalBytes, extents } = layout;
    const fits = memory !== undefined && totalBytes <= memory.length;
    const bytes = fits ? memory.subarray(0, totalBytes) : unsetBytes(totalBytes);
    const wanted = new Map<number, Extent[]>();
    for (const extent of extents) {
      const sequence = this.#fold.streamSequenceOf(extent.segment);
      const stored = this.#fold.recent.get(sequence);
      if (stored !== undefined) put(layout, extent, stored, bytes);
      else wanted.set(sequence, [...(wanted.get(sequence) ?? []), extent]);
    }
    const sequences = [...wanted.keys()].sort((a, b) => a - b);
    const missing: number[] = [];
    for (let from = 0; from < sequences.length; ) {
      const run = runOf(sequences, from);
      from += run.length;
      const found = await this.#payloads(run);
      for (const sequence of run) {
        const payload = found.get(sequence);
        const own = wanted.get(sequence) as Extent[];
        if (payload === undefined) missing.push(sequence);
        else for (const extent of own) put(layout, extent, storedBytesOf(payload, timeOf(layout, extent)), bytes);
      }
    }
    if (missing.length > 0) throw new MissingMessages(missing);
    return { bytes, starts: layout.starts, ends: layout.ends };
  }

  /** The payloads of messages, as far as they are there. */
  async #payloads(sequences: readonly number[]): Promise<Map<number, Uint8Array>> {
    this.#assertAvailable();
    const found = new Map<number, Uint8Array>();
    const first = sequences[0] as number;
    const last = sequences.at(-1) as number;
    if (first === last) {
      const message = await this.#direct.getMessage(this.#stream, { seq: first });
      if (message !== null) found.set(first, message.data);
    } else {
      // With holes, as many messages reach further than the last one that is wanted.
      const batch = last - first + 1;
      const messages = await this.#direct.getBatch(this.#stream, { seq: first, batch });
      try {
        // To the end: a question that is broken off keeps its subscription.
        for await (const message of messages) if (message.seq <= last) found.set(message.seq, message.data);
      } catch (error) {
        // Nothing from there on is an error to the client.
        if (!(error instanceof JetStreamError) || (error as { code?: unknown }).code !== notFound) throw error;
      }
    }
    for (const sequence of sequences) {
      if (found.has(sequence)) continue;
      // A replica that is behind says the same as one that knows; the leader knows.
      const message = await this.#manager.streams.getMessage(this.#stream, { seq: sequence });
      if (message !== null) found.set(sequence, message.data);
    }
    return found;
  }
}

/** From `from` on, the sequences that are near enough to be asked for at once. */
function runOf(sequences: readonly number[], from: number): readonly number[] {
  let to = from + 1;
  while (
    to < sequences.length &&
    (sequences[to] as number) - (sequences[to - 1] as number) <= maxGap &&
    (sequences[to] as number) - (sequences[from] as number) < limits.natsReadMessages
  ) {
    to++;
  }
  return sequences.slice(from, to);
}

function timeOf(layout: Layout, extent: Extent): number {
  return layout.rows.times[extent.firstRow] as number;
}

/** The stored bytes of the events of a message, one after the other. They all came in at the same time. */
function storedBytesOf(payload: Uint8Array, timeMs: number): Uint8Array {
  const time = encodeTime(timeMs);
  const { events } = decodeMessage(payload);
  const stored = new Uint8Array(events.reduce((sum, { body }) => sum + time.length + body.length, 0));
  let at = 0;
  for (const { body } of events) {
    stored.set(time, at);
    stored.set(body, at + time.length);
    at += time.length + body.length;
  }
  return stored;
}

function put(layout: Layout, extent: Extent, stored: Uint8Array, target: Uint8Array): void {
  const piece = stored.subarray(extent.from, extent.to);
  if (extent.isWhole) target.set(piece, extent.at);
  else pick(layout, extent, piece, target);
}
