/** Where a server that counts writes it, and what asks it to. */
export const countsVariable = "TAILRACE_TEST_COUNTS";
export const countsSignal = "SIGUSR2";

/** Appends that are not over, and groups of them on their way to NATS. */
export type Waiting = Readonly<Record<"appendBytes" | "groupsInFlight" | "bytesInFlight", number>>;

/** What a server counts of itself. */
export interface Counts {
  /** The most there ever was, and what there is. */
  readonly most: Waiting;
  readonly now: Waiting;
  /** Timers that run, sockets and other handles that are open, and bytes that those have not been able to send. */
  readonly timers: number;
  readonly handles: number;
  readonly unsentBytes: number;
  /** Of Node, which says so where listeners pile up. */
  readonly warnings: readonly string[];
}
