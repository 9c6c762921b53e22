import type { Clock } from "../../../src/base/clock.ts";
import { PendingAppends } from "../../../src/log/commit/pending.ts";
import type { AppendBatch, AppendResult, LogIdentity } from "../../../src/log/contract.ts";
import type { Layout } from "../../../src/log/index/extents.ts";
import { resolveRetention } from "../../../src/log/index/retention.ts";
import type { NatsLink } from "../../../src/log/jetstream/connect.ts";
import { Fold, type StreamMessage } from "../../../src/log/jetstream/fold.ts";
import { Publisher } from "../../../src/log/jetstream/publisher.ts";
import { type MessageSource, Reader } from "../../../src/log/jetstream/reader.ts";
import { type FetchedBytes, ReadableLog } from "../../../src/log/readable-log.ts";

type NatsAnswer = (error: Error | null, message: { readonly subject: string; readonly data: Uint8Array }) => void;

const acknowledgement = new TextEncoder().encode("{}");

/** A stream in memory that several logs share, each of which folds it when the test lets it: as on JetStream, without NATS. */
export class SharedStream {
  readonly #messages: StreamMessage[] = [];
  readonly #clock: Clock;
  readonly #logs = new Set<SharedLog>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A log on the stream that has folded everything. */
  open(): SharedLog {
    const log = new SharedLog(this, this.#clock);
    this.#logs.add(log);
    log.deliver();
    return log;
  }

  /** Gives every log that is neither paused nor gone what it has not had yet. */
  deliver(): void {
    for (const log of this.#logs) log.deliver();
  }

  add(payload: Uint8Array): void {
    const sequence = this.#messages.length + 1;
    this.#messages.push({ sequence, timeMs: this.#clock.now(), payload });
  }

  after(sequence: number): readonly StreamMessage[] {
    return this.#messages.slice(sequence);
  }

  leave(log: SharedLog): void {
    this.#logs.delete(log);
  }
}

/** A log on a shared stream, as one server has it. */
export class SharedLog extends ReadableLog {
  readonly identity: LogIdentity = { runtimeId: "test", generation: 1n };
  /** Whether it looks after the stream. */
  keeps = false;
  readonly #stream: SharedStream;
  readonly #fold: Fold;
  readonly #publisher: Publisher;
  readonly #reader: Reader;
  /** Messages on their way; undefined: its server is gone, and whatever it says is lost. */
  #outgoing: (() => void)[] | undefined = [];
  #answer: NatsAnswer = () => undefined;
  #paused = false;
  #muted = false;
  #fails = false;
  /** Messages of which their server does not know what became. */
  #late: Uint8Array[] = [];

  constructor(stream: SharedStream, clock: Clock) {
    const fold = new Fold(resolveRetention(), 0, 0);
    super(fold.index, clock);
    this.#stream = stream;
    this.#fold = fold;
    const connection = {
      subscribe: (_: string, { callback }: { readonly callback: NatsAnswer }) => {
        this.#answer = callback;
      },
      publish: (_: string, payload: Uint8Array, { reply }: { readonly reply: string }) => this.#send(payload, reply),
      status: () => [],
    };
    const link = { connection } as unknown as NatsLink;
    this.#publisher = new Publisher(link, "test", new PendingAppends(this.index), clock, true, {
      folded: () => fold.last,
      assertUsable: () => this.assertUsable(),
      assertReachable: () => undefined,
      acknowledged: () => undefined,
      refused: () => undefined,
    });
    // Everything is among the newest, so nobody is asked.
    this.#reader = new Reader({} as MessageSource, "test", fold, () => undefined);
  }

  override get isShared(): boolean {
    return true;
  }

  override get isKeeper(): boolean {
    return this.keeps;
  }

  /** Its server stands still: it hears nothing, and what it says goes out when it goes on. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#flush();
  }

  /** It hears everything, and what it says waits. */
  mute(isMuted: boolean): void {
    this.#muted = isMuted;
  }

  /** Lets the oldest message go that waits. */
  sendOne(): void {
    this.#outgoing?.shift()?.();
  }

  /** Whether nobody answers what it says from now on. */
  loseAnswers(fails: boolean): void {
    this.#fails = fails;
  }

  /** What was not answered arrives after all. */
  sendLate(): void {
    for (const payload of this.#late.splice(0)) this.#stream.add(payload);
  }

  /** Its server is gone. What it had handed over may have gone out. */
  crash(): void {
    this.#outgoing = undefined;
    this.#stream.leave(this);
    this.dropListeners();
  }

  deliver(): void {
    this.#flush();
    if (this.#paused) return;
    for (const message of this.#stream.after(this.#fold.last)) {
      const folded = this.#fold.take(
        message,
        (block) => this.tell(block),
        (puts) => this.tellState(puts),
      );
      if (folded !== undefined) this.#publisher.folded(folded);
    }
  }

  append(batch: AppendBatch): Promise<AppendResult> {
    return this.#outgoing === undefined ? new Promise(() => undefined) : this.#publisher.append(batch);
  }

  async reach(sequence: number): Promise<boolean> {
    this.deliver();
    return this.index.head.sequence >= sequence;
  }

  holdAfter(): void {
    // Nothing is trimmed here.
  }

  async close(): Promise<void> {
    this.markClosed();
    this.dropListeners();
  }

  protected fetch(layout: Layout, memory: Uint8Array | undefined): Promise<FetchedBytes> {
    return this.#reader.fetch(layout, memory);
  }

  #send(payload: Uint8Array, reply: string): void {
    if (this.#fails) {
      this.#late.push(payload);
      throw new Error("no answer");
    }
    this.#outgoing?.push(() => {
      this.#stream.add(payload);
      this.#answer(null, { subject: reply, data: acknowledgement });
    });
  }

  #flush(): void {
    if (this.#paused || this.#muted || this.#outgoing === undefined) return;
    for (const send of this.#outgoing.splice(0)) send();
  }
}
