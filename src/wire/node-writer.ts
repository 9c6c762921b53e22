import type { Clock, StopTimer } from "../base/clock.ts";

/**
 * Bytes in one piece. A larger frame goes out piece by piece, so that a reader that is slow but alive is seen to take
 * something, and so that no socket holds more than one piece beyond its own buffer. It is what the system sends in one go to a reader
 * on the same machine, 64 KiB without the headers: the last bytes of every piece would else go by themselves.
 */
export const pieceBytes = 65_483;

/**
 * Pieces that go as one to a reader that took a frame of several without being waited for. A write has a price of its own: with a
 * hundred readers at full speed these are a sixth less CPU in all.
 */
export const piecesAtOnce = 4;

/** What an HTTP/1.1 response and an HTTP/2 stream have in common. An HTTP/2 response of the compatibility API has not: use its `stream`. */
export interface ByteTarget {
  readonly destroyed: boolean;
  /** Whether the system has taken everything that was written. Absent: it can't be known. */
  readonly flushed?: boolean;
  /** A frame as `write` wants it, the same for all targets of a kind. Absent: as it is. */
  encode?(frame: Uint8Array): Uint8Array;
  write(bytes: Uint8Array): boolean;
  end(): unknown;
  destroy(): unknown;
  on(event: "drain" | "close" | "error", listener: () => void): unknown;
  off(event: "drain" | "close" | "error", listener: () => void): unknown;
}

export interface ByteWriterOptions {
  readonly target: ByteTarget;
  readonly clock: Clock;
  /** Milliseconds after which a target that takes nothing with bytes pending is destroyed. */
  readonly stallTimeoutMs: number;
  /** Called when `write` may be called again after it returned false. */
  readonly onDrain: () => void;
  /** Called once, when the target is gone before `end`: closed by the peer, broken, or stalled for too long. */
  readonly onGone: () => void;
}

/**
 * Writes the frames of one stream to a socket at the speed of its reader. Holds a timer only while the reader is behind,
 * and lets go of everything when the target closes, also while a write is blocked (where no "drain" will ever come).
 */
export class ByteWriter {
  readonly #target: ByteTarget;
  readonly #clock: Clock;
  readonly #stallTimeoutMs: number;
  readonly #onDrain: () => void;
  readonly #onGone: () => void;
  #rest: Uint8Array | undefined;
  /** Bytes of the next piece. */
  #piece = pieceBytes;
  #blocked = false;
  #ending = false;
  #closed = false;
  #stopStallTimer: StopTimer | undefined;

  constructor(options: ByteWriterOptions) {
    this.#target = options.target;
    this.#clock = options.clock;
    this.#stallTimeoutMs = options.stallTimeoutMs;
    this.#onDrain = options.onDrain;
    this.#onGone = options.onGone;
    this.#target.on("drain", this.#drained);
    this.#target.on("close", this.#gone);
    // A broken pipe is followed by "close"; without a listener it would end the process.
    this.#target.on("error", () => undefined);
    // "close" fires once, perhaps before we listened. The caller is still setting up, so tell it afterwards.
    if (this.#target.destroyed) queueMicrotask(this.#gone);
  }

  /** Whether nobody reads any more what was written. */
  get flushed(): boolean {
    return this.#rest === undefined && !this.#closed && this.#target.flushed === true;
  }

  /** Takes a frame, whose bytes must not change until it is flushed. False: no more until `onDrain`. */
  write(frame: Uint8Array): boolean {
    if (this.#closed || this.#ending) return false;
    if (this.#send(this.#target.encode?.(frame) ?? frame)) return true;
    this.#blocked = true;
    this.#watchStall();
    return false;
  }

  /** Ends the target after everything that was written. The stall timeout holds until then. */
  end(): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    if (this.#rest === undefined) this.#target.end();
    this.#watchStall();
  }

  /** Takes the target away from the reader at once. */
  destroy(): void {
    if (!this.#closed) this.#target.destroy();
  }

  #send(bytes: Uint8Array): boolean {
    // The last frame of a watch comes also while the reader is behind.
    if (this.#rest !== undefined) {
      this.#rest = Buffer.concat([this.#rest, bytes]);
      return false;
    }
    let rest = bytes;
    while (rest.length > this.#piece) {
      const free = this.#target.write(rest.subarray(0, this.#piece));
      rest = rest.subarray(this.#piece);
      if (!free) {
        this.#piece = pieceBytes;
        this.#rest = rest;
        return false;
      }
    }
    const free = this.#target.write(rest);
    if (!free) this.#piece = pieceBytes;
    else if (bytes.length > pieceBytes) this.#piece = piecesAtOnce * pieceBytes;
    return free;
  }

  readonly #drained = (): void => {
    this.#stopStall();
    const rest = this.#rest;
    if (rest !== undefined) {
      this.#rest = undefined;
      const free = this.#send(rest);
      if (this.#ending && this.#rest === undefined) this.#target.end();
      if (!free || this.#ending) {
        this.#watchStall();
        return;
      }
    }
    if (this.#ending) {
      this.#watchStall();
      return;
    }
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#onDrain();
  };

  readonly #gone = (): void => {
    if (this.#closed) return;
    this.#closed = true;
    this.#rest = undefined;
    this.#stopStall();
    this.#target.off("drain", this.#drained);
    this.#target.off("close", this.#gone);
    // The error listener stays: Node may still report the write that failed.
    if (!this.#ending) this.#onGone();
  };

  #watchStall(): void {
    this.#stopStallTimer ??= this.#clock.after(this.#stallTimeoutMs, () => {
      this.#stopStallTimer = undefined;
      this.#target.destroy();
    });
  }

  #stopStall(): void {
    this.#stopStallTimer?.();
    this.#stopStallTimer = undefined;
  }
}
