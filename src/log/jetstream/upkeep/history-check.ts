import type { JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import { fits, type Identity } from "../bucket/identity.ts";
import type { NatsLink } from "../connection/connect.ts";
import type { KnownMessage } from "../fold/assembly.ts";
import type { Fold } from "../fold/fold.ts";
import { streamOf } from "../stream/subjects.ts";

/** Losses of the connection without an answered look at the stream in between, of which it is known where the log was. */
const maxLosses = 64;

export interface HistoryParts {
  readonly link: NatsLink;
  readonly quick: JetStreamManager;
  readonly namespace: string;
  readonly fold: Fold;
}

/** What this server had folded before the stream was asked for. */
export interface Folded {
  readonly last: number;
  /** Messages that must be in the stream as they were, unless they are gone. */
  readonly known: readonly KnownMessage[];
}

/**
 * What a stream is: the `same`; perhaps `short`, which is to be looked at again; `replaced`, with other messages where this server
 * has folded some; or `lost`: made again, or back where it once was, or not there.
 */
export type History = "same" | "short" | "replaced" | "lost";

/** Whether the stream still has the history that this server has folded, or was made again or restored from a backup. */
export class HistoryCheck {
  readonly #parts: HistoryParts;
  /** The newest message at each loss of the connection since the last look: what came after it may be of another history. */
  #beforeLosses: readonly KnownMessage[] = [];
  /** Whether the stream seemed to have lost messages when it was asked last. */
  #isShort = false;

  constructor(parts: HistoryParts) {
    this.#parts = parts;
    parts.link.subscribe((connected) => {
      const { newest } = parts.fold;
      if (connected || newest === undefined) return;
      // One of its own, also for the same message: it is not what a look that is under way has asked for.
      const others = this.#beforeLosses.filter(({ sequence }) => sequence !== newest.sequence);
      this.#beforeLosses = [...others, { ...newest }].slice(-maxLosses);
    });
  }

  /** To be asked before the stream is. */
  folded(): Folded {
    const { last, newest } = this.#parts.fold;
    const losses = this.#beforeLosses;
    return { last, known: losses.length > 0 || newest === undefined ? losses : [newest] };
  }

  /** What the stream is. `folded`: what this server had before it asked for it. May fail. */
  async of(stream: StreamInfo | undefined, known: Identity, folded: Folded): Promise<History> {
    const identity = { ...known, highWater: { stream: folded.last, sequence: 0 } };
    const isReplaced = stream !== undefined && (await this.#isReplaced(folded.known));
    const isSame = stream !== undefined && fits(identity, stream) && !isReplaced;
    // One that has just lost the lead may still answer, and not know of everything.
    this.#isShort = !isSame && !isReplaced && stream?.created === identity.streamCreated && !this.#isShort;
    if (this.#isShort) return "short";
    if (!isSame) return isReplaced ? "replaced" : "lost";
    this.#beforeLosses = this.#beforeLosses.filter((loss) => !folded.known.includes(loss));
    return "same";
  }

  /**
   * Whether the stream has another message where this server has folded one: it was restored from a backup, and may have
   * grown beyond where it was since. One that is gone says nothing.
   */
  async #isReplaced(known: readonly KnownMessage[]): Promise<boolean> {
    const { quick, namespace } = this.#parts;
    for (const message of known) {
      const found = await quick.streams.getMessage(streamOf(namespace), { seq: message.sequence });
      if (found !== null && !isSame(message, found)) return true;
    }
    return false;
  }
}

function isSame({ timeMs, start }: KnownMessage, found: { readonly time: Date; readonly data: Uint8Array }): boolean {
  // Times are rounded in more than one way. Of what was only acknowledged it is not known.
  if (timeMs !== undefined && Math.abs(found.time.getTime() - timeMs) > 1) return false;
  return Buffer.compare(found.data.subarray(0, start.length), start) === 0;
}
