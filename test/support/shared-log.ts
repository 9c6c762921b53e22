import { randomUUID } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { PendingAppends } from "../../src/log/commit/pending.ts";
import type { AppendBatch, AppendResult, LogIdentity } from "../../src/log/contract.ts";
import type { Layout } from "../../src/log/index/extents.ts";
import { resolveRetention } from "../../src/log/index/retention.ts";
import type { StreamMessage } from "../../src/log/jetstream/fold/assembly.ts";
import { Fold } from "../../src/log/jetstream/fold/fold.ts";
import type { Control } from "../../src/log/jetstream/publish/group.ts";
import { Publisher } from "../../src/log/jetstream/publish/publisher.ts";
import { Reader } from "../../src/log/jetstream/read/reader.ts";
import { type FetchedBytes, ReadableLog } from "../../src/log/readable-log.ts";
import type { SharedStream } from "./shared-stream.ts";

interface NatsMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers?: { readonly code: number };
}

type NatsAnswer = (error: Error | null, message: NatsMessage) => void;

/** A group of messages that goes into the stream whole. */
interface Outgoing {
  readonly payloads: readonly Uint8Array[];
  /** @param last sequence of its last message. */
  readonly stored: (last: number) => void;
  /** There is nobody who takes it. */
  readonly unheard: () => void;
}

/** A log on a shared stream, as one server has it, and what may happen to that server. */
export class SharedLog extends ReadableLog {
  readonly identity: LogIdentity;
  /** What it sent and is not stored. */
  readonly outgoing: Outgoing[] = [];
  /** Of what it sent and nobody took, whether that was to find out whether somebody does. */
  readonly refusals: boolean[] = [];
  readonly #id = randomUUID();
  readonly #stream: SharedStream;
  readonly #fold: Fold;
  readonly #publisher: Publisher;
  readonly #reader: Reader;
  /** Messages of the stream that it has heard. */
  #heard = 0;
  #hold: number | undefined;
  /** The hold that it said last. */
  #said: number | undefined;
  #reaching: { readonly heard: number; readonly resolve: () => void }[] = [];
  #isPaused = false;
  #isDeaf = false;
  /** What it was answered while it stood still. */
  #answers: (() => void)[] = [];
  #isMuted = false;
  #isGone = false;
  #losesAnswers = false;
  #awaySinceMs: number | undefined;
  #onConnected: (connected: boolean) => void = () => undefined;
  /** Of which its server does not know what became. */
  #late: Pick<Outgoing, "payloads" | "stored">[] = [];

  constructor(stream: SharedStream) {
    const fold = new Fold(resolveRetention(), 0, 0);
    super(fold.index, stream.clock);
    this.identity = stream.identity;
    this.#stream = stream;
    this.#fold = fold;
    const pending = new PendingAppends<never>(fold.index);
    this.#publisher = new Publisher(this.#link() as never, "test", pending, stream.clock, false, {
      folded: () => fold.last,
      streamTimeMs: () => stream.clock.now(),
      stored: ({ sequence, whole }) => {
        if (whole !== undefined && fold.isNext(sequence)) this.#take({ sequence, timeMs: undefined, payload: whole });
      },
      assertUsable: () => this.assertUsable(),
      assertReachable: () => undefined,
      assertRoom: () => undefined,
      acknowledged: () => undefined,
      refused: (_error, _kind, isProbe) => this.refusals.push(isProbe),
      unanswered: () => undefined,
    });
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
    this.#said = this.#hold === undefined ? undefined : Math.min(this.#hold, this.index.head.sequence);
    this.#say({ keeper, retention, hold: this.#said ?? "state", trimsAll: true });
  }

  /** Whether somebody waits until it has heard more. */
  get isReaching(): boolean {
    return this.#reaching.length > 0;
  }

  get canSend(): boolean {
    return this.outgoing.length > 0 && !this.#isPaused && !this.#isMuted && this.#awaySinceMs === undefined;
  }

  get canHear(): boolean {
    const isHeld = this.#isPaused || this.#isDeaf || this.#awaySinceMs !== undefined;
    return this.#heard < this.#stream.messages.length && !isHeld;
  }

  /** Stores the oldest of what it sent, also while it is muted or stands still: that may have been on its way already. */
  send(): void {
    const next = this.outgoing.shift();
    if (next === undefined) return;
    this.#store(next);
  }

  /** Takes in the next message. False: there is none, or it stands still. */
  hear(): boolean {
    const message = this.#stream.messages[this.#heard];
    if (message === undefined || !this.canHear) return false;
    this.#heard++;
    this.#take(message);
    for (const { heard, resolve } of this.#reaching) if (heard <= this.#heard) resolve();
    this.#reaching = this.#reaching.filter(({ heard }) => heard > this.#heard);
    return true;
  }

  /** Sends what there is, and hears what is stored then. */
  deliver(): void {
    while (this.canSend) this.send();
    while (this.hear());
  }

  /** Its server stands still: it hears nothing, and what it says goes out when it goes on. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    for (const answer of this.#answers.splice(0)) answer();
    while (this.canSend) this.send();
  }

  /** What it says is stored and answered, and it hears nothing: its tail stands still. */
  deafen(isDeaf: boolean): void {
    this.#isDeaf = isDeaf;
  }

  /** It hears everything, and what it says waits. */
  mute(isMuted: boolean): void {
    this.#isMuted = isMuted;
  }

  /** What it sent is stored in its turn, and nobody says so. */
  dropAnswers(): void {
    for (const [i, one] of this.outgoing.entries()) this.outgoing[i] = { ...one, stored: () => undefined };
  }

  /** Whether nobody answers what it says from now on. */
  loseAnswers(isLost: boolean): void {
    this.#losesAnswers = isLost;
  }

  /**
   * Its server loses the connection: it hears nothing, and nobody knows what becomes of what is on its way. `arriving`: so many
   * groups of it, the oldest, may still arrive (default: all), and the others never.
   */
  disconnect(arriving = this.outgoing.length): void {
    this.#late.push(...this.outgoing.splice(0).slice(0, arriving));
    this.#awaySinceMs = 0;
    this.#onConnected(false);
  }

  /** Its server has another connection. */
  reconnect(): void {
    this.#awaySinceMs = undefined;
    this.#onConnected(true);
  }

  /**
   * What was not answered, or was on a connection that was lost, arrives after all, and is answered over the one that there is now.
   * `groups`: so many, the oldest first.
   */
  sendLate(groups = this.#late.length): void {
    for (const one of this.#late.splice(0, groups)) {
      if (this.#awaySinceMs === undefined) this.#store(one);
      else this.#stream.store(one.payloads);
    }
  }

  /** Its server is gone, and what it sent last is lost. `stored`: but for so many groups of it. */
  crash(stored = 0): void {
    for (const { payloads } of this.outgoing.splice(0).slice(0, stored)) this.#stream.store(payloads);
    this.#isGone = true;
    this.#stream.leave(this);
    this.dropListeners();
  }

  append(batch: AppendBatch): Promise<AppendResult> {
    return this.#isGone ? new Promise(() => undefined) : this.#publisher.append(batch);
  }

  async reach(sequence: number): Promise<boolean> {
    const heard = this.#stream.messages.length;
    if (this.index.head.sequence < sequence && this.#heard < heard) {
      await new Promise<void>((resolve) => this.#reaching.push({ heard, resolve }));
    }
    return this.index.head.sequence >= sequence;
  }

  holdAfter(sequence: number): void {
    this.#hold = sequence;
    this.#sayHold();
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

  #store({ payloads, stored }: Pick<Outgoing, "payloads" | "stored">): void {
    this.#stream.store(payloads);
    const { length } = this.#stream.messages;
    const answer = () => stored(length);
    if (this.#isPaused) this.#answers.push(answer);
    else answer();
  }

  #take(message: StreamMessage): void {
    const wasKeeper = this.isKeeper;
    const folded = this.#fold.take(
      message,
      (block) => this.tell(block),
      (state) => this.tellState(state),
    );
    if (folded !== undefined) this.#publisher.folded(folded);
    // It may have moved since it said that it takes over.
    if (!wasKeeper) this.#sayHold();
  }

  #sayHold(): void {
    const hold = this.#hold;
    if (hold === undefined || !this.isKeeper || this.closed) return;
    if (hold === (this.#said ?? this.index.retention.hold)) return;
    this.#said = hold;
    this.#say({ keeper: { id: this.#id, role: "keeps" }, hold });
  }

  #say(control: Control): void {
    // One that is gone has no answer.
    this.#publisher.control(control).catch(() => undefined);
  }

  /** As much of a connection to NATS as the publisher uses: one whose messages arrive in order, and some time later. */
  #link() {
    let group: Uint8Array[] = [];
    let answer: NatsAnswer = () => undefined;
    const subscribe = (_subject: string, { callback }: { readonly callback: NatsAnswer }) => {
      answer = callback;
    };
    const publish = (_subject: string, payload: Uint8Array, { reply }: { readonly reply?: string }) => {
      group.push(payload);
      // The last one of a group.
      if (reply === undefined) return;
      const payloads = group;
      group = [];
      if (this.#losesAnswers) {
        this.#late.push({ payloads, stored: () => undefined });
        throw new Error("no answer");
      }
      if (!this.#isGone) {
        const stored = (seq: number) => answer(null, { subject: reply, data: Buffer.from(JSON.stringify({ seq })) });
        const unheard = () => answer(null, { subject: reply, data: new Uint8Array(0), headers: { code: 503 } });
        this.outgoing.push({ payloads, stored, unheard });
      }
    };
    const awaySinceMs = () => this.#awaySinceMs;
    return {
      connection: { subscribe, publish, status: () => [] },
      get awaySinceMs() {
        return awaySinceMs();
      },
      subscribe: (listener: (connected: boolean) => void) => {
        this.#onConnected = listener;
      },
    };
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
