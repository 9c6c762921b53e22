import { setImmediate as nextTurn } from "node:timers/promises";
import { ManualClock } from "../../src/base/clock.ts";
import type { RetentionLimits } from "../../src/base/limits.ts";
import type { LogIdentity } from "../../src/log/contract.ts";
import { resolveRetention } from "../../src/log/index/retention.ts";
import type { StreamMessage } from "../../src/log/jetstream/fold/assembly.ts";
import { randomOf } from "./random.ts";
import { SharedLog } from "./shared-log.ts";

/** Turns of the event loop without a step after which all is quiet, and after which it stays so. */
const quietTurns = 5;
const stuckTurns = 10_000;

/**
 * A stream that several servers share, as on JetStream, without a network: what they send is stored, and what is stored comes back
 * to each of them, one message after the other. What is sent, what it means and what is refused is decided by the parts of
 * the log on JetStream. Nothing moves unless the test says so: everything that is on its way, by `deliver`, or one message of
 * it that a seed chooses, by `step` and `until`.
 */
export class SharedStream {
  readonly identity: LogIdentity = { runtimeId: "test", generation: 1n };
  readonly messages: StreamMessage[] = [];
  /** Time of the stream. */
  readonly clock = new ManualClock();
  /** What whoever takes over wants of retention. */
  readonly retention: RetentionLimits;
  readonly #random: () => number;
  /** Of servers that are there. */
  readonly #logs = new Set<SharedLog>();

  constructor({ seed = 1, retention = {} }: { seed?: number; retention?: Partial<RetentionLimits> } = {}) {
    this.#random = randomOf(seed);
    this.retention = resolveRetention(retention);
  }

  /** The log of a server that begins with everything that is stored. */
  open(): SharedLog {
    const log = new SharedLog(this);
    while (log.hear());
    this.#logs.add(log);
    return log;
  }

  /** As if the process ended: of what it sent last a part is stored, or nothing. */
  kill(log: SharedLog): void {
    log.crash(Math.floor(this.#random() * (log.outgoing.length + 1)));
  }

  /** Lets every server send what it has to send, and hear what is stored then. */
  deliver(): void {
    for (const log of this.#logs) log.deliver();
  }

  /** Stores what somebody sent, or lets somebody hear what is stored. False: there is neither. `alone`: of this one only. */
  step(alone?: SharedLog): boolean {
    const steps: (() => void)[] = [];
    for (const log of alone === undefined ? this.#logs : [alone]) {
      if (log.canSend) steps.push(() => log.send());
      if (log.canHear) steps.push(() => log.hear());
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

  store(payloads: readonly Uint8Array[]): void {
    for (const payload of payloads) {
      // Who sent it may write another one there as soon as it hears that it is stored.
      this.messages.push({ sequence: this.messages.length + 1, timeMs: this.clock.now(), payload: payload.slice() });
    }
  }

  leave(log: SharedLog): void {
    this.#logs.delete(log);
  }
}
