import type { PendingAppend } from "../../commit/pending.ts";
import { isUrgent } from "../../contract.ts";
import type { WriteKind } from "../health/write-check.ts";
import type { GroupHead } from "../stream/heads.ts";

/** What a group may say besides its appends. */
export type Control = Omit<GroupHead, "writer" | "number" | "timeMs" | "appends">;

/** An append that waits. */
export interface WaitingAppend extends PendingAppend {
  /** Among those of this server. Those of a group follow each other. */
  readonly number: number;
  readonly base: number;
  readonly after: ReadonlyMap<string, number> | undefined;
}

/** Appends, or something else, that the stream takes as one. */
export interface Group {
  readonly number: number;
  readonly appends: readonly WaitingAppend[];
  readonly control: Control;
  /** It says nothing, and is sent as if it were this. Undefined: it is no probe. */
  readonly probes?: WriteKind;
  /** A probe that asks what became of others, not whether the stream takes it. */
  readonly asks?: true;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A group of appends, at least one, each of which its caller waits for. */
export function groupOf(appends: readonly WaitingAppend[]): Group {
  const { number } = appends[0] as WaitingAppend;
  return { number, appends, control: {}, resolve: nothing, reject: nothing };
}

export function probeOf(kind: WriteKind, number: number): Group {
  return { number, appends: [], control: {}, probes: kind, resolve: nothing, reject: nothing };
}

/** Whether it is sent to find out whether the stream takes it. */
export function isTry({ probes, asks }: Group): boolean {
  return probes !== undefined && asks !== true;
}

/** Whether it may come before what was sent earlier. */
export function mayOvertake({ appends: [first], probes }: Group): boolean {
  return probes !== undefined || (first !== undefined && isUrgent(first.batch));
}

function nothing(): void {
  // Whoever waits for an append is told by that.
}
