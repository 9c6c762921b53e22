import type { JetStreamManager } from "@nats-io/jetstream";
import type { Fold } from "../fold/fold.ts";
import type { Publisher } from "../publish/publisher.ts";
import { streamInfo } from "../stream/info.ts";
import { streamOf } from "../stream/subjects.ts";
import { type LostMessages, lostRows } from "./lost.ts";

export interface LossesParts {
  readonly manager: JetStreamManager;
  readonly namespace: string;
  readonly fold: Fold;
  readonly publisher: Publisher;
  /** Settles when this server has folded what the stream has. */
  caughtUp(): Promise<void>;
}

/**
 * Messages that are gone though retention kept them: everyone takes them for removed, with what came before them, so that
 * readers are told what they lost.
 */
export class Losses {
  readonly #parts: LossesParts;

  constructor(parts: LossesParts) {
    this.#parts = parts;
  }

  /** Settles when this server took them for removed, with whether there were any. @throws what the parts throw. */
  async report(messages: LostMessages): Promise<boolean> {
    const { fold, publisher, caughtUp } = this.#parts;
    // Retention may have removed them meanwhile, and this server not know it yet.
    await caughtUp();
    const lost = lostRows(fold, messages);
    if (lost.length > 0) await publisher.control({ lost });
    return lost.length > 0;
  }

  /**
   * The same for everything that the stream says is gone, where a reader found that some are: who purged those has most
   * likely purged others, and what readers are told they lost is to be exact the first time.
   */
  async reportAllWith(known: readonly number[]): Promise<boolean> {
    return this.report(await this.#goneWith(known));
  }

  async #goneWith(known: readonly number[]): Promise<LostMessages> {
    const { manager, namespace } = this.#parts;
    const gone = new Set(known);
    try {
      const { state } = await streamInfo(manager, streamOf(namespace), { deleted_details: true });
      for (const sequence of state.deleted ?? []) gone.add(sequence);
      const has = (sequence: number) => sequence < state.first_seq || gone.has(sequence);
      return { from: 0, before: state.last_seq + 1, has };
    } catch {
      // The list may be too long for a message: the others are found when they are read.
      return { from: Math.min(...known), before: Math.max(...known) + 1, has: (sequence) => gone.has(sequence) };
    }
  }
}
