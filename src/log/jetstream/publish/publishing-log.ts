import type { TailraceError } from "../../../base/errors.ts";
import type { SentWrite, WriteKind } from "../health/write-check.ts";

/** What was acknowledged. The tail brings it as well, earlier or later. */
export interface StoredGroup {
  /** Of its last message in the stream. */
  readonly sequence: number;
  /** By `performance.now()`. */
  readonly sentAtMs: number;
  /** Its only message, where that says all that everyone folds but for where it is in the stream. */
  readonly whole: Uint8Array | undefined;
}

/** What the publisher asks of its log. */
export interface PublishingLog {
  /** Sequence of the stream up to which it is folded. */
  folded(): number;
  /** About what time it is in the stream, in milliseconds since the epoch; undefined: nobody knows. */
  streamTimeMs(): number | undefined;
  /** The stream has what this server sent. */
  stored(group: StoredGroup): void;
  /** @throws TailraceError if it is closed or failed. */
  assertUsable(): void;
  /** @throws TailraceError if nothing can be sent now. */
  assertReachable(): void;
  /** @throws TailraceError if NATS has no room for events. */
  assertRoom(): void;
  /** NATS has answered for a write. */
  acknowledged(kind: WriteKind): void;
  /** NATS has refused a write, or there is nobody who takes it. */
  refused(error: TailraceError, kind: WriteKind, isProbe: boolean): void;
  /** NATS does not answer for a write. `isOver`: and it is given up. */
  unanswered(write: SentWrite, isOver: boolean): void;
}
