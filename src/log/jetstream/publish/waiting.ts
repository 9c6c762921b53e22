import { limits } from "../../../base/limits.ts";
import type { PendingAppends } from "../../commit/pending.ts";
import { type Group, groupOf, type WaitingAppend } from "./group.ts";

/** What this server has not sent yet, in the order in which it goes. Appends that wait become groups when they are taken. */
export class WaitingGroups {
  readonly #appends: PendingAppends<WaitingAppend>;
  readonly #groups: Group[] = [];
  /** What goes before all others, and is few: also when nothing else may be sent, because what was sent is not back yet. */
  readonly #urgent: Group[] = [];
  #lastNumber = 0;

  constructor(appends: PendingAppends<WaitingAppend>) {
    this.#appends = appends;
  }

  get isEmpty(): boolean {
    return this.#appends.length + this.#groups.length + this.#urgent.length === 0;
  }

  /** The number of an append that may share a group with those before it. */
  nextNumber(): number {
    return ++this.#lastNumber;
  }

  /** The number of a group that shares none with the appends before it: the numbers of a group follow each other. */
  nextAlone(): number {
    while (this.#appends.length > 0) this.#gather();
    return ++this.#lastNumber;
  }

  push(append: WaitingAppend): void {
    this.#appends.push(append);
  }

  /** What has a number of its own, by `nextAlone`. */
  pushGroup(group: Group): void {
    this.#groups.push(group);
  }

  /** The same, before all that waits. */
  pushUrgent(append: WaitingAppend): void {
    this.#urgent.push(groupOf(this.#appends.takeAtOnce(append)));
  }

  /** What was sent before all that waits goes again, before that. */
  again(groups: readonly Group[]): void {
    this.#groups.unshift(...groups);
  }

  /** Takes what goes first of all; undefined: there is nothing that is urgent. */
  takeUrgent(): Group | undefined {
    return this.#urgent.shift();
  }

  /** Takes what goes next; undefined: nothing does. `gathers`: appends wait for more, unless they fill a message. */
  take(gathers: boolean): Group | undefined {
    const mayGather = !gathers || this.#appends.waitingBytes >= limits.natsGroupBytes;
    if (this.#groups.length === 0 && this.#appends.length > 0 && mayGather) this.#gather();
    return this.#groups.shift();
  }

  /** Takes what has events. */
  takeEvents(): Group[] {
    while (this.#appends.length > 0) this.#gather();
    const hasEvents = ({ appends }: Group) => appends.some(({ batch }) => batch.events.length > 0);
    const groups = this.#groups.splice(0);
    this.#groups.push(...groups.filter((group) => !hasEvents(group)));
    return groups.filter(hasEvents);
  }

  /** Takes everything. */
  takeAll(): Group[] {
    while (this.#appends.length > 0) this.#gather();
    return [...this.#urgent.splice(0), ...this.#groups.splice(0)];
  }

  #gather(): void {
    this.#groups.push(groupOf(this.#appends.take(limits.natsGroupBytes)));
  }
}
