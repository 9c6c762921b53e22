import type { Clock, StopTimer } from "../../../base/clock.ts";
import { limits } from "../../../base/limits.ts";
import type { NatsLink } from "../connection/connect.ts";
import type { Progress } from "./progress.ts";

/** Milliseconds until the stream is asked once more: a question may be lost without a word, with the answer or before it. */
export const askAgainMs = 2_000;

/** What catching up needs of a log. */
export interface CatchUpParts {
  readonly link: Pick<NatsLink, "subscribe">;
  readonly clock: Clock;
  readonly progress: Progress;
  /** Sequence of the newest message that is folded. */
  folded(): number;
  /** Sequence of the newest message in the stream, as the leader has it. May fail. */
  newest(): Promise<number>;
  /** Throws once there is nothing to wait for. */
  assertUsable(): void;
}

/**
 * Settles when this server has folded what the stream had at the call, or enough of it, whichever is known first: what comes in
 * by itself may be enough while the stream does not answer.
 * @throws TailraceError what `assertUsable` throws, or `log_unavailable` after `limits.natsReachMs`.
 */
export async function catchUp(parts: CatchUpParts, isEnough: () => boolean): Promise<void> {
  const { link, clock, progress } = parts;
  if (isEnough()) return;
  let through = Number.POSITIVE_INFINITY;
  let failure: unknown;
  let stopTimer: StopTimer | undefined;
  const ask = async () => {
    try {
      parts.assertUsable();
      // Whichever question is answered first: each was asked after the call.
      through = Math.min(through, await parts.newest());
    } catch {
      failure ??= failureOf(parts);
    }
    progress.look();
  };
  const askAgain = () => {
    stopTimer = clock.after(askAgainMs, askAgain);
    void ask();
  };
  // What was asked over a connection that is gone has no answer.
  const stopListening = link.subscribe((connected) => {
    if (connected) void ask();
  });
  askAgain();
  try {
    await progress.until(() => failure !== undefined || isEnough() || parts.folded() >= through, limits.natsReachMs);
  } catch (error) {
    throw failureOf(parts) ?? error;
  } finally {
    stopListening();
    stopTimer?.();
  }
  if (failure !== undefined) throw failure;
}

function failureOf(parts: CatchUpParts): unknown {
  try {
    parts.assertUsable();
    return undefined;
  } catch (error) {
    return error;
  }
}
