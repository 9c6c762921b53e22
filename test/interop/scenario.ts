import { expect } from "vitest";
import { publishIds } from "../conformance/world.ts";
import { serve } from "../support/serving.ts";

/** What a foreign program has seen of a watch. */
export interface Sighting {
  /** Correlation ids of events, in the order seen. */
  readonly ids: readonly string[];
  /** The newest position, as the program would keep it. */
  readonly cursor: string;
}

/** A program that is not ours and watches a runtime. */
export interface ForeignWatch {
  /** Waits until it saw this many events with an id. Fails with what it said if it ends before. */
  until(count: number): Promise<Sighting>;
  /** Ends the program, as one that vanishes. */
  stop(): Promise<void>;
}

/** Starts the program on a server; `cursor`: to resume from. */
export type StartWatch = (url: string, cursor: string | undefined) => ForeignWatch | Promise<ForeignWatch>;

/** Has a program watch, vanish, and come back to exactly what was published meanwhile. */
export async function watchLeaveResume(start: StartWatch): Promise<void> {
  const { runtime, server } = await serve();
  await publishIds(runtime, "w", ["before-1", "before-2"]);
  const first = await start(server.url, undefined);
  await first.until(2);
  await publishIds(runtime, "w", ["during-1", "during-2"]);
  const { ids, cursor } = await first.until(4);
  expect(ids).toEqual(["before-1", "before-2", "during-1", "during-2"]);
  await first.stop();

  await publishIds(runtime, "w", ["away-1", "away-2", "away-3"]);
  const second = await start(server.url, cursor);
  await second.until(3);
  await publishIds(runtime, "w", ["after"]);
  expect((await second.until(4)).ids).toEqual(["away-1", "away-2", "away-3", "after"]);
  await second.stop();
}
