import { setImmediate as nextTurn } from "node:timers/promises";
import type { JetStreamManager } from "@nats-io/jetstream";
import { limits } from "../../../base/limits.ts";
import { apiCodeOf } from "../errors.ts";
import type { Fold } from "../fold/fold.ts";
import { streamInfo } from "../stream/info.ts";
import { streamOf } from "../stream/subjects.ts";
import { liveSequences, stepsPerTurn } from "./live.ts";

/** Error codes of JetStream for a message that is not there. */
const gone: ReadonlySet<number> = new Set([10037, 10057]);
/** Messages that must be dead, beside as many as are alive, for it to be worth looking for them. */
const minDead = 64;
/** Deleted messages behind the first one of a stream that are asked for by number: the answer is one text. */
const maxListed = 100_000;

/**
 * Deletes dead messages between living ones, by their sequences: those with events of several, behind a message that stays for
 * long. Others go by their subjects, with fewer questions. Each message is tried for once, so what it costs does not grow with
 * how long the first one stays.
 */
export class Sweep {
  readonly #manager: JetStreamManager;
  readonly #namespace: string;
  /** Sequence in the stream up to which only these may be there, in order. */
  #through = 0;
  #left: Float64Array = new Float64Array(0);

  constructor(manager: JetStreamManager, namespace: string) {
    this.#manager = manager;
    this.#namespace = namespace;
  }

  /**
   * Deletes what is dead from `first` up to `through`, for `natsSweepMs` at the most; the next run goes on.
   * @param thorough also where it is not much beside what is alive.
   * @returns how many it deleted.
   */
  async run(fold: Fold, first: number, through: number, thorough: boolean): Promise<number> {
    const live = await liveSequences(fold);
    const { state } = await streamInfo(this.#manager, streamOf(this.#namespace));
    const deadAtMost = state.messages - live.length - Math.max(0, state.last_seq - through);
    if (deadAtMost < (thorough ? 1 : live.length + minDead)) return 0;
    const known = await this.#deleted(state.num_deleted ?? 0);
    if (known === undefined && this.#through === 0) {
      // What a former keeper did not come to goes with the messages before it.
      this.#settle(live, through + 1, through);
      return 0;
    }
    const deadline = performance.now() + limits.natsSweepMs;
    let batch: number[] = [];
    let at = 0;
    let steps = 0;
    let done = first;
    let deleted = 0;
    for (const sequence of this.#candidates(first, through)) {
      if (++steps % stepsPerTurn === 0) await nextTurn();
      while (at < live.length && (live[at] as number) < sequence) at++;
      if (live[at] === sequence || known?.has(sequence)) continue;
      batch.push(sequence);
      if (batch.length < limits.natsDeletesAtOnce) continue;
      deleted += await this.#delete(batch);
      done = sequence + 1;
      batch = [];
      if (performance.now() > deadline) {
        this.#settle(live, done, Math.max(this.#through, sequence));
        return deleted;
      }
    }
    deleted += await this.#delete(batch);
    this.#settle(live, through + 1, Math.max(this.#through, through));
    return deleted;
  }

  /** What may be there, in order. */
  *#candidates(first: number, through: number): Generator<number> {
    for (const sequence of this.#left) {
      if (sequence > through) return;
      if (sequence >= first) yield sequence;
    }
    for (let sequence = Math.max(first, this.#through + 1); sequence <= through; sequence++) yield sequence;
  }

  /** Sequences that the stream says are deleted; undefined: too many to ask for. */
  async #deleted(count: number): Promise<ReadonlySet<number> | undefined> {
    if (count > maxListed) return undefined;
    const { state } = await streamInfo(this.#manager, streamOf(this.#namespace), { deleted_details: true });
    return new Set(state.deleted ?? []);
  }

  async #delete(sequences: readonly number[]): Promise<number> {
    const stream = streamOf(this.#namespace);
    const deleted = await Promise.all(
      sequences.map((sequence) =>
        this.#manager.streams.deleteMessage(stream, sequence, false).catch((error: unknown) => {
          if (!gone.has(apiCodeOf(error) ?? 0)) throw error;
          return false;
        }),
      ),
    );
    return deleted.filter((isDeleted) => isDeleted).length;
  }

  /** Before `done` only what lives is left; from there on up to where it was looked before, what was left then. */
  #settle(live: Float64Array, done: number, through: number): void {
    const before = live.filter((sequence) => sequence < done && sequence <= through);
    const after = this.#left.filter((sequence) => sequence >= done);
    this.#left = new Float64Array(before.length + after.length);
    this.#left.set(before);
    this.#left.set(after, before.length);
    this.#through = through;
  }
}
