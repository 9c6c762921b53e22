import type { Clock, StopTimer } from "../base/clock.ts";

/** Keeps the position of a watch between processes. */
export interface Checkpoint {
  /** The position that was saved last; undefined: none yet. What it rejects with ends the watch. */
  load(): Promise<string | undefined>;
  /** Saves a position, durably when it resolves. Calls never overlap. */
  save(cursor: string): Promise<void>;
}

/** Whoever takes the events. */
export interface Consumer {
  /** The position that it is done with; undefined: none yet. */
  readonly cursor: string | undefined;
  /** Whether it is in the middle of a batch. */
  readonly busy: boolean;
}

/**
 * Saves where the consumer is, at most once per interval and never twice at a time: a fast watch must not become as slow as
 * its checkpoint, and a save that overtook another would put the position back.
 */
export class CheckpointSaver {
  readonly #checkpoint: Checkpoint;
  readonly #intervalMs: number;
  readonly #clock: Clock;
  readonly #consumer: Consumer;
  readonly #onFailure: (error: unknown) => void;
  #saved: string | undefined;
  #saving: Promise<void> = Promise.resolve();
  #stopTimer: StopTimer | undefined;

  constructor(
    checkpoint: Checkpoint,
    intervalMs: number,
    clock: Clock,
    consumer: Consumer,
    onFailure: (error: unknown) => void,
  ) {
    this.#checkpoint = checkpoint;
    this.#intervalMs = intervalMs;
    this.#clock = clock;
    this.#consumer = consumer;
    this.#onFailure = onFailure;
  }

  async load(): Promise<string | undefined> {
    this.#saved = await this.#checkpoint.load();
    return this.#saved;
  }

  /** Says that the position moves. Cheap: called with every batch. */
  touch(): void {
    if (this.#stopTimer !== undefined) return;
    this.#stopTimer = this.#clock.after(this.#intervalMs, () => {
      this.#stopTimer = undefined;
      // A consumer that takes a long time over one batch moves without a further touch.
      if (this.#consumer.busy) this.touch();
      void this.#save().catch(this.#onFailure);
    });
  }

  /** Saves the newest position. @throws what the checkpoint rejects with. */
  async finish(): Promise<void> {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    await this.#save();
  }

  #save(): Promise<void> {
    const saved = this.#saving.then(async () => {
      const { cursor } = this.#consumer;
      if (cursor === undefined || cursor === this.#saved) return;
      await this.#checkpoint.save(cursor);
      this.#saved = cursor;
    });
    // Whoever asked for this save hears of its failure; the next one goes on.
    this.#saving = saved.catch(() => undefined);
    return saved;
  }
}
