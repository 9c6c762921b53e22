import type { PublishReceipt } from "../publishing.ts";

/**
 * What a job's worker threads and its runtime say to each other, over a BroadcastChannel that is named by the job's token:
 * only who has the job's environment finds it.
 */
export type FromThread =
  | { readonly kind: "hello"; readonly from: string }
  /** `event`: tailrace.v1.NewEvent, encoded. */
  | { readonly kind: "publish"; readonly from: string; readonly id: number; readonly event: Uint8Array };

export type ToThread =
  | { readonly kind: "published"; readonly to: string; readonly id: number; readonly receipt: PublishReceipt }
  | { readonly kind: "refused"; readonly to: string; readonly id: number; readonly error: ThreadError }
  /** The job's signal aborted. */
  | { readonly kind: "aborted"; readonly name: string; readonly message: string }
  /** The job has ended: nothing will be answered any more. */
  | { readonly kind: "ended" };

/** A TailraceError; errors of a class do not survive the way between threads. */
export interface ThreadError {
  readonly reason: string;
  readonly details: unknown;
  readonly message: string;
}

export function channelName(token: string): string {
  return `tailrace:${token}`;
}
