import { JetStreamApiError } from "@nats-io/jetstream";
import type { Clock } from "../../../base/clock.ts";
import { limits } from "../../../base/limits.ts";
import type { BinaryWriter } from "../../binary.ts";
import type { PendingAppends } from "../../commit/pending.ts";
import { type AppendBatch, type AppendResult, isUrgent } from "../../contract.ts";
import type { NatsLink } from "../connection/connect.ts";
import { appendErrorOf, conflict, unavailable } from "../errors.ts";
import type { FoldedGroup } from "../fold/fold.ts";
import type { WriteKind } from "../health/write-check.ts";
import { Answers, type Refusal } from "./answers.ts";
import { type Control, type Group, isTry, mayOvertake, probeOf, type WaitingAppend } from "./group.ts";
import { GroupsInFlight, NoAcknowledgement } from "./in-flight.ts";
import { MessageMemory } from "./message-memory.ts";
import { encodeGroup, type OutgoingMessage, publishGroup } from "./outgoing.ts";
import { OwnLife } from "./own-life.ts";
import type { PublishingLog } from "./publishing-log.ts";
import { Putting } from "./putting.ts";
import { WaitingGroups } from "./waiting.ts";

interface SentGroup extends Group {
  readonly writer: string;
  /** Which life of this server the writer is. */
  readonly life: number;
  readonly bytes: number;
  readonly kind: WriteKind;
  /** Of its last message, which is answered. */
  readonly subject: string;
  /** As `StoredGroup` has it. */
  readonly whole: Uint8Array | undefined;
  /** Where its only message lies; undefined: it has several. */
  readonly memory: BinaryWriter | undefined;
  /** Whether something is there that was sent after it and must not come before it. */
  isOvertaken: boolean;
}

/**
 * Sends appends to the stream, in the order of the calls, many at once. Those of one turn of the event loop go as one
 * group, and those of several turns while `natsPromptGroups` are on their way. An append settles when its group
 * is folded: when it comes back by the tail, or before, when it is acknowledged and everything before it is folded.
 */
export class Publisher {
  readonly #link: NatsLink;
  readonly #namespace: string;
  readonly #pending: PendingAppends<WaitingAppend>;
  readonly #clock: Clock;
  /** Whether events are of the time that the clock says; else of the stream's. */
  readonly #saysTime: boolean;
  readonly #log: PublishingLog;
  readonly #life = new OwnLife();
  readonly #putting = new Putting();
  readonly #waiting: WaitingGroups;
  readonly #sent = new GroupsInFlight<SentGroup>({
    silent: ({ kind }, sentAtMs) => this.#log.unanswered({ kind, sentAtMs }, false),
    late: (group, error, sentAtMs) => {
      this.#giveUp(group, error);
      this.#findOut();
      if (error instanceof NoAcknowledgement) this.#log.unanswered({ kind: group.kind, sentAtMs }, true);
    },
  });
  readonly #answers: Answers;
  readonly #memory = new MessageMemory();
  #starting = false;
  #idle: (() => void)[] = [];

  constructor(
    link: NatsLink,
    namespace: string,
    pending: PendingAppends<WaitingAppend>,
    clock: Clock,
    saysTime: boolean,
    log: PublishingLog,
  ) {
    this.#link = link;
    this.#namespace = namespace;
    this.#pending = pending;
    this.#waiting = new WaitingGroups(pending);
    this.#clock = clock;
    this.#saysTime = saysTime;
    this.#log = log;
    this.#answers = new Answers(link, {
      taken: (number, life, sequence) => this.#acknowledged(number, life, sequence),
      refused: (number, life, refusal) => this.#refused(number, life, refusal),
      unheard: (number, life, error) => this.#unheard(number, life, error),
      denied: (subject, error) => {
        for (const group of this.#sent.groups()) if (group.subject === subject) this.#sent.failed(group.number, error);
      },
    });
    link.subscribe((connected) => {
      if (connected) this.#connected();
      // What is on its way may arrive behind what is sent over the next connection.
      else this.#life.begin();
    });
  }

  /** @throws TailraceError as `PendingAppends.admit`, and if the log can't be used. */
  append(batch: AppendBatch): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      this.#log.assertUsable();
      this.#log.assertReachable();
      // State alone is small, and may be what retention waits for.
      if (batch.events.length > 0) this.#log.assertRoom();
      const bytes = this.#pending.admit(batch);
      const base = this.#log.folded();
      if (isUrgent(batch)) {
        const number = this.#waiting.nextAlone();
        // Whoever put the same keys before it on this server may come after it, so it can't depend on that, nor that on it.
        this.#waiting.pushUrgent({ batch, bytes, number, base, after: undefined, resolve, reject });
      } else {
        const number = this.#waiting.nextNumber();
        const after = this.#putting.begin(number, batch);
        this.#waiting.push({ batch, bytes, number, base, after, resolve, reject });
      }
      this.#start();
    });
  }

  /** Sends what is no append, after those before it. Settles when it was folded. */
  async control(control: Control): Promise<void> {
    this.#log.assertReachable();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.pushGroup({ number: this.#waiting.nextAlone(), appends: [], control, resolve, reject });
    this.#start();
    await promise;
  }

  /** Sends what says nothing, before all that waits and whether or not anything else may be sent. */
  probe(kind: WriteKind): void {
    this.#send(probeOf(kind, this.#waiting.nextAlone()));
  }

  /** A group was folded: if it is one of ours, its appends are over. */
  folded({ head, results }: FoldedGroup): void {
    const told = this.#life.tells(head.writer);
    if (told !== undefined) this.#learn(told);
    const group = this.#sent.get(head.number);
    if (group === undefined || group.writer !== head.writer) return;
    if (group !== this.#sent.oldest && !mayOvertake(group)) {
      for (const before of this.#sent.before(group.number)) before.isOvertaken = true;
    }
    this.#take(group);
    if (group.memory !== undefined) this.#memory.giveBack(group.memory);
    const { appends } = group;
    for (let i = 0; i < appends.length; i++) {
      const { resolve, reject } = appends[i] as WaitingAppend;
      const result = results[i];
      if (result !== undefined) resolve(result);
      else reject(conflict(this.#clock.now()));
    }
    group.resolve();
    this.#log.acknowledged(group.kind);
    this.#pump();
  }

  /** Settles when nothing waits and nothing is on its way. */
  async drained(): Promise<void> {
    await Promise.resolve();
    this.#pump();
    if (this.#isIdle) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Gives up on everything. */
  abort(error: unknown): void {
    this.refuse(error);
    for (const group of this.#sent.groups()) this.#giveUp(group, error);
  }

  /** Rejects the events that were not sent yet. */
  refuseEvents(error: unknown): void {
    for (const group of this.#waiting.takeEvents()) this.#settle(group, error);
    this.#pump();
  }

  /** Rejects what was not sent yet. */
  refuse(error: unknown): void {
    for (const group of this.#waiting.takeAll()) this.#settle(group, error);
    this.#pump();
  }

  #start(): void {
    if (this.#starting) return;
    this.#starting = true;
    const begin = () => {
      this.#starting = false;
      this.#pump();
    };
    // Requests that came together are handled one after the other, with all microtasks of one before the next.
    if (this.#sent.size === 0) queueMicrotask(begin);
    else setImmediate(begin);
  }

  #pump(): void {
    // The client of NATS would keep it for the next connection, or drop it without a word.
    if (this.#link.awaySinceMs === undefined) this.#sendAll();
    if (!this.#isIdle) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  get #isIdle(): boolean {
    return this.#waiting.isEmpty && this.#sent.size === 0;
  }

  #sendAll(): void {
    for (let group = this.#waiting.takeUrgent(); group !== undefined; group = this.#waiting.takeUrgent()) {
      this.#send(group);
    }
    while (!this.#sent.isFull && !this.#life.isHeldBy(this.#sent)) {
      // While enough is on its way for NATS to be busy: what a message costs is more than appends do.
      const group = this.#waiting.take(this.#sent.size >= limits.natsPromptGroups);
      if (group === undefined) break;
      this.#send(group);
    }
  }

  #connected(): void {
    this.#findOut();
    this.#pump();
  }

  /** Shows at once what has become of what holds all that waits, which else is known only once it is given up. */
  #findOut(): void {
    const isAway = this.#link.awaySinceMs !== undefined;
    if (isAway || !this.#life.isHeldBy(this.#sent) || !this.#life.mayAsk()) return;
    this.#send({ ...probeOf("changes", this.#waiting.nextAlone()), asks: true });
  }

  /**
   * What was sent in a life before that of what has come, and did not come before it, never will: it is sent again, but for what
   * would then be behind what was sent after it.
   */
  #learn(heard: number): void {
    const lost = this.#sent.groups().filter(({ life }) => life < heard);
    for (const { number } of lost) this.#sent.take(number);
    this.#waiting.again(lost.filter(({ probes, isOvertaken }) => probes === undefined && !isOvertaken));
    for (const group of lost) {
      if (group.isOvertaken) this.#settle(group, unavailable(this.#clock.now(), "NATS lost the write. Publish again."));
    }
    this.#start();
  }

  #send(group: Group): void {
    const { number } = group;
    const { writer, number: life } = this.#life;
    const timeMs = this.#timeOf(group);
    const memory = this.#memory.take();
    const { kind, messages } = encodeGroup(this.#namespace, group, writer, timeMs, memory);
    const { subject } = messages.at(-1) as OutgoingMessage;
    const bytes = messages.reduce((sum, { payload }) => sum + payload.length, 0);
    const isOne = messages.length === 1;
    const whole = isOne && timeMs > 0 ? messages[0]?.payload : undefined;
    this.#sent.add({
      ...group,
      writer,
      life,
      bytes,
      kind,
      subject,
      whole,
      memory: isOne ? memory : undefined,
      isOvertaken: false,
    });
    try {
      const reply = this.#answers.subjectFor(number, life);
      publishGroup(this.#link.connection, messages, `${writer}.${number}`, reply);
    } catch (error) {
      this.#sent.failed(number, error);
    }
  }

  /** When what is sent now was accepted; 0: when the stream takes it. */
  #timeOf({ appends }: Group): number {
    if (this.#saysTime) return Math.max(1, Math.floor(this.#clock.now()));
    // What is no append tells everyone what time it is.
    return appends.length === 0 ? 0 : (this.#log.streamTimeMs() ?? 0);
  }

  #acknowledged(number: number, life: number, sequence: number): void {
    const group = this.#sent.get(number);
    // What comes for one that was given up, or is sent again, says nothing of those that are on their way.
    if (group?.life !== life) return;
    const sentAtMs = this.#sent.acknowledged(number) as number;
    this.#log.acknowledged(group.kind);
    this.#log.stored({ sequence, sentAtMs, whole: group.whole });
  }

  #refused(number: number, life: number, refusal: Refusal): void {
    const group = this.#sent.get(number);
    if (group?.life !== life) return;
    this.#take(group);
    // Refused: it was not written, and what comes after it may be.
    const error = appendErrorOf(new JetStreamApiError(refusal), this.#clock.now());
    this.#settle(group, error, true);
    this.#log.refused(error, group.kind, isTry(group));
    this.#pump();
  }

  #unheard(number: number, life: number, error: Error): void {
    const group = this.#sent.get(number);
    if (group?.life !== life) return;
    this.#sent.failed(number, error);
    this.#log.refused(appendErrorOf(error, this.#clock.now()), group.kind, isTry(group));
  }

  /** Nobody knows whether a group was written. Should it come late, it must not count as known to what comes now. */
  #giveUp(group: SentGroup, error: unknown): void {
    this.#take(group);
    // What says nothing may come whenever it does.
    if (group.life === this.#life.number && group.probes === undefined) this.#life.begin();
    this.#settle(group, appendErrorOf(error, this.#clock.now()), true);
    this.#pump();
  }

  #settle(group: Group, error: unknown, wasSent = false): void {
    if (!wasSent) this.#over(group.appends);
    for (const { reject } of group.appends) reject(error);
    group.reject(error);
  }

  #take(group: SentGroup): void {
    this.#sent.take(group.number);
    this.#over(group.appends);
  }

  #over(appends: readonly WaitingAppend[]): void {
    this.#pending.settled(appends);
    for (const { number, batch } of appends) this.#putting.over(number, batch);
  }
}
