import type { EventRun } from "../stream/form.ts";

/** Visits the events of a run, in order. */
export function forEachEvent({ from, to, indices }: EventRun<unknown>, visit: (index: number) => void): void {
  if (indices === undefined) for (let i = from; i < to; i++) visit(i);
  else for (const index of indices) visit(index);
}
