import { randomUUID } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { ManualClock } from "../../../src/base/clock.ts";
import type { RetentionLimits } from "../../../src/base/limits.ts";
import { PendingAppends } from "../../../src/log/commit/pending.ts";
import type { AppendBatch, AppendResult, LogIdentity } from "../../../src/log/contract.ts";
import type { Layout } from "../../../src/log/index/extents.ts";
import { resolveRetention } from "../../../src/log/index/retention.ts";
import { Fold, type StreamMessage } from "../../../src/log/jetstream/fold.ts";
import { type Control, Publisher } from "../../../src/log/jetstream/publisher.ts";
import { Reader } from "../../../src/log/jetstream/reader.ts";
import { type FetchedBytes, ReadableLog } from "../../../src/log/readable-log.ts";

/** Gives numbers from 0 up to 1, the same ones for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A group of messages that goes into the stream whole. */
interface Outgoing {
  readonly payloads: readonly Uint8Array[];
  readonly stored: () => void;
}

/**
 * A stream that several servers share, without a network: what they send is stored, and what is stored comes back to each of
 * them, one message after the other, in whatever order a seed says. What is sent, what it means and what is refused is decided
 * by the parts of the log on JetStream.
 */
export class SharedStream {
  readonly identity: LogIdentity = { runtimeId: "test", generation: 1n };
  readonly messages: StreamMessage[] = [];
  readonly clock = new ManualClock();
  readonly retention: RetentionLimits;
  readonly #random: () => number;
  readonly #servers = new Set<StreamServer>();

  constructor(seed: number, retention: Partial<RetentionLimits> = {}) {
    this.#random = randomOf(seed);
    this.retention = resolveRetention(retention);
  }

  /** A server that begins with everything that is stored. */
  open(): StreamServer {
    const server = new StreamServer(this);
    while (server.hear());
    this.#servers.add(server);
    return server;
  }

  /** As if the process ended: what it sent last may be stored or not. */
  kill(server: StreamServer): void {
    this.#servers.delete(server);
    const sent = server.outgoing.splice(0);
    for (const { payloads } of sent.slice(0, Math.floor(this.#random() * (sent.length + 1)))) this.#store(payloads);
  }

  /** Stores what somebody sent, or lets somebody hear what is stored. False: there is neither. `alone`: of this one only. */
  step(alone?: StreamServer): boolean {
    const steps: (() => void)[] = [];
    for (const server of alone === undefined ? this.#servers : [alone]) {
      const [next] = server.outgoing;
      if (next !== undefined) {
        steps.push(() => {
          server.outgoing.shift();
          this.#store(next.payloads);
          next.stored();
        });
      }
      if (server.heard < this.messages.length) steps.push(() => void server.hear());
    }
    steps[Math.floor(this.#random() * steps.length)]?.();
    return steps.length > 0;
  }

  /** Steps on until something is settled, which may be nothing but that all is quiet. */
  async until(settled: Promise<unknown> = Promise.resolve()): Promise<void> {
    let isSettled = false;
    const over = settled.finally(() => {
      isSettled = true;
    });
    over.catch(() => undefined);
    for (let quiet = 0; !isSettled || quiet < quietTurns; ) {
      await nextTurn();
      quiet = this.step() ? 0 : quiet + 1;
      if (quiet > stuckTurns) throw new Error("nothing goes on, and it is not settled");
    }
    await over;
  }

  #store(payloads: readonly Uint8Array[]): void {
    for (const payload of payloads) {
      this.messages.push({ sequence: this.messages.length + 1, timeMs: this.clock.now(), payload });
    }
  }
}

type NatsAnswer = (error: Error | null, message: { readonly subject: string; readonly data: Uint8Array }) => void;

/** Turns of the event loop without a step after which all is quiet, and after which it stays so. */
const quietTurns = 5;
const stuckTurns = 10_000;

/** One server of such a stream: its log. */
export class StreamServer extends ReadableLog {
  readonly identity: LogIdentity;
  /** What it sent and is not stored. */
  readonly outgoing: Outgoing[] = [];
  /** Messages of the stream that it has heard. */
  heard = 0;
  readonly #id = randomUUID();
  readonly #stream: SharedStream;
  readonly #fold: Fold;
  readonly #publisher: Publisher;
  readonly #reader: Reader;
  #hold: number | undefined;
  #reaching: { readonly heard: number; readonly resolve: () => void }[] = [];

  constructor(stream: SharedStream) {
    const fold = new Fold(resolveRetention(), 0, 0);
    super(fold.index, stream.clock);
    this.identity = stream.identity;
    this.#stream = stream;
    this.#fold = fold;
    this.#publisher = new Publisher(
      this.#link() as never,
      "test",
      new PendingAppends<never>(fold.index),
      stream.clock,
      false,
      {
        folded: () => fold.last,
        assertUsable: () => this.assertUsable(),
        assertReachable: () => undefined,
        acknowledged: () => undefined,
        refused: () => undefined,
      },
    );
    this.#reader = new Reader(this.#manager() as never, "test", fold, () => undefined);
  }

  override get isShared(): boolean {
    return true;
  }

  override get isKeeper(): boolean {
    return this.#fold.keeper === this.#id;
  }

  /** Makes it the keeper, as soon as each server hears of it. */
  takeOver(): void {
    const { retention } = this.#stream;
    const keeper = { id: this.#id, role: "takes" } as const;
    this.#say({ keeper, retention, hold: this.#hold ?? "state", trimsAll: true });
  }

  /** Takes in the next message. False: there is none. */
  hear(): boolean {
    const message = this.#stream.messages[this.heard];
    if (message === undefined) return false;
    this.heard++;
    const folded = this.#fold.take(
      message,
      (block) => this.tell(block),
      (state) => this.tellState(state),
    );
    if (folded !== undefined) this.#publisher.folded(folded);
    for (const { heard, resolve } of this.#reaching) if (heard <= this.heard) resolve();
    this.#reaching = this.#reaching.filter(({ heard }) => heard > this.heard);
    return true;
  }

  append(batch: AppendBatch): Promise<AppendResult> {
    return this.#publisher.append(batch);
  }

  async reach(sequence: number): Promise<boolean> {
    const heard = this.#stream.messages.length;
    if (this.index.head.sequence < sequence && this.heard < heard) {
      await new Promise<void>((resolve) => this.#reaching.push({ heard, resolve }));
    }
    return this.index.head.sequence >= sequence;
  }

  holdAfter(sequence: number): void {
    const changes = sequence !== (this.#hold ?? this.index.retention.hold);
    this.#hold = sequence;
    if (changes && this.isKeeper && !this.closed) {
      this.#say({ keeper: { id: this.#id, role: "keeps" }, hold: sequence });
    }
  }

  async close(): Promise<void> {
    this.markClosed();
    await this.#publisher.drained();
    this.dropListeners();
  }

  protected async fetch(layout: Layout, memory: Uint8Array | undefined): Promise<FetchedBytes> {
    await nextTurn();
    return this.#reader.fetch(layout, memory);
  }

  #say(control: Control): void {
    // One that is killed has no answer.
    this.#publisher.control(control).catch(() => undefined);
  }

  /** As much of a connection to NATS as the publisher uses: one whose messages arrive in order, and some time later. */
  #link() {
    let batch: Uint8Array[] = [];
    let answer: NatsAnswer = () => undefined;
    const subscribe = (_subject: string, { callback }: { readonly callback: NatsAnswer }) => {
      answer = callback;
    };
    const publish = (_subject: string, payload: Uint8Array, { reply }: { readonly reply?: string }) => {
      batch.push(payload);
      // The last one of a group.
      if (reply === undefined) return;
      const payloads = batch;
      batch = [];
      const stored = () => answer(null, { subject: reply, data: new TextEncoder().encode("{}") });
      this.outgoing.push({ payloads, stored });
    };
    return { connection: { subscribe, publish, status: () => [] } };
  }

  /** As much of the API of JetStream as the reader uses. */
  #manager() {
    const at = (seq: number) => ({ seq, data: this.#stream.messages[seq - 1]?.payload });
    const getMessage = async (_stream: string, { seq }: { readonly seq: number }) => at(seq);
    const getBatch = async (_stream: string, { seq, batch }: { readonly seq: number; readonly batch: number }) =>
      Array.from({ length: Math.min(batch, this.#stream.messages.length - seq + 1) }, (_, i) => at(seq + i));
    return { direct: { getMessage, getBatch }, streams: { getMessage } };
  }
}
