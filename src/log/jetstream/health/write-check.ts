import { JetStreamApiError } from "@nats-io/jetstream";
import type { TailraceError } from "../../../base/errors.ts";
import { limits } from "../../../base/limits.ts";
import type { NatsLink } from "../connection/connect.ts";
import type { Availability } from "./availability.ts";

/** Events go to other subjects than changes of the state alone, and a stream may take the ones and not the others. */
export type WriteKind = "events" | "changes";

/** A write that is on its way, or was. `sentAtMs`: by `performance.now()`. */
export interface SentWrite {
  readonly kind: WriteKind;
  readonly sentAtMs: number;
}

/** Writes of one kind that may not be taken any more. */
interface Doubt {
  isSilent: boolean;
  /** Probes that were refused one after the other. */
  refusedProbes: number;
  refusal: string;
}

/**
 * Whether the stream takes what is written. NATS may answer every question for it, and take nothing: its disk is full, or
 * someone has changed the stream. As soon as that may be so it is written what says nothing, now and then, until
 * that is taken: so nothing is said of a write that was lost, and a log that can't be appended to finds out when it can.
 */
export class WriteCheck {
  readonly #link: NatsLink;
  readonly #availability: Availability;
  readonly #probe: (kind: WriteKind) => void;
  readonly #doubts = new Map<WriteKind, Doubt>();
  readonly #takenAtMs: Record<WriteKind, number> = {
    events: Number.NEGATIVE_INFINITY,
    changes: Number.NEGATIVE_INFINITY,
  };
  #connectedAtMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** @param probe writes something of a kind that says nothing, at once. Must not throw. */
  constructor(link: NatsLink, availability: Availability, probe: (kind: WriteKind) => void) {
    this.#link = link;
    this.#availability = availability;
    this.#probe = probe;
    link.subscribe((connected) => {
      if (!connected) return;
      this.#connectedAtMs = performance.now();
      this.#try();
    });
  }

  /** The stream took a write, or has no room for it, which is told otherwise. */
  taken(kind: WriteKind): void {
    this.#takenAtMs[kind] = performance.now();
    if (!this.#doubts.delete(kind)) return;
    if (this.#doubts.size === 0) this.#stopTimer();
    this.#say();
  }

  /** Nobody has answered for a write for so long that it may be that nobody will. */
  late(write: SentWrite): void {
    if (this.#counts(write)) this.#doubtOf(write.kind);
  }

  /** Nobody has answered for a write, also after what has come meanwhile was read. */
  unanswered(write: SentWrite): void {
    if (!this.#counts(write)) return;
    this.#doubtOf(write.kind).isSilent = true;
    this.#say();
  }

  /** A write was refused, or nobody is there to take it. It may be that write alone, or a leader that is being elected. */
  refused(kind: WriteKind, isProbe: boolean, { cause }: TailraceError): void {
    const doubt = this.#doubtOf(kind);
    if (!isProbe) return;
    // Counted in probes, not in time: a process that was paused meanwhile has tried no more often.
    doubt.refusedProbes++;
    doubt.refusal = cause instanceof JetStreamApiError ? cause.message : "there is no stream that takes it";
    this.#say();
  }

  stop(): void {
    this.#stopped = true;
    this.#stopTimer();
  }

  /** A write that was sent before the connection was made again may be lost with the one before. */
  #counts({ kind, sentAtMs }: SentWrite): boolean {
    return this.#link.awaySinceMs === undefined && sentAtMs > this.#connectedAtMs && sentAtMs > this.#takenAtMs[kind];
  }

  #doubtOf(kind: WriteKind): Doubt {
    const known = this.#doubts.get(kind);
    if (known !== undefined) return known;
    const doubt = { isSilent: false, refusedProbes: 0, refusal: "" };
    if (this.#stopped) return doubt;
    this.#doubts.set(kind, doubt);
    this.#timer ??= setInterval(() => this.#try(), limits.natsProbeMs).unref();
    // Not within what has just failed.
    queueMicrotask(() => {
      if (this.#doubts.get(kind) === doubt) this.#tryOne(kind);
    });
    return doubt;
  }

  #try(): void {
    for (const kind of [...this.#doubts.keys()]) this.#tryOne(kind);
  }

  #tryOne(kind: WriteKind): void {
    if (!this.#stopped && this.#link.awaySinceMs === undefined) this.#probe(kind);
  }

  #say(): void {
    const doubts = [...this.#doubts.values()];
    if (doubts.some(({ isSilent }) => isSilent)) this.#availability.misses("answers");
    else this.#availability.has("answers");
    const refused = doubts.find(({ refusedProbes }) => refusedProbes * limits.natsProbeMs >= limits.natsRefusedMs);
    if (refused === undefined) this.#availability.has("writes");
    else this.#availability.misses("writes", `NATS does not take what is written to the log: ${refused.refusal}.`);
  }

  #stopTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
