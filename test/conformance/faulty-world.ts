import { setImmediate as turn } from "node:timers/promises";
import { expect } from "vitest";
import { ManualClock } from "../../src/base/clock.ts";
import { TailraceError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { decodeCursor } from "../../src/events/cursor.ts";
import { FaultyLog } from "./faulty-log.ts";
import { secretOfTheHost } from "./refusals.ts";
import type { Viewer } from "./viewer.ts";
import { type LogUnderTest, publishIds, serveOver, type World } from "./world.ts";

/** A served runtime whose log fails when a test says so. */
export async function serveOverFaulty(
  logs: LogUnderTest,
  options: Omit<Parameters<typeof serveOver>[1], "wrap" | "expectFaults">,
): Promise<{ readonly world: World; readonly log: FaultyLog }> {
  let faulty: FaultyLog | undefined;
  const wrap = (log: ConstructorParameters<typeof FaultyLog>[0]) => {
    faulty = new FaultyLog(log);
    return faulty;
  };
  const world = await serveOver(logs, { ...options, wrap, expectFaults: true });
  return { world, log: faulty as FaultyLog };
}

/** The same, with one event before `cursor` and one after it. */
export async function serveFaulty(logs: LogUnderTest) {
  const clock = new ManualClock(Date.now());
  const { world, log } = await serveOverFaulty(logs, { clock });
  const { cursor } = await publishIds(world.runtime, "w", ["read"]);
  await publishIds(world.runtime, "w", ["unread"]);
  const cause = new Error(secretOfTheHost);
  const unavailable = () =>
    new TailraceError(
      "log_unavailable",
      { sinceMs: clock.now(), retryAfterMs: limits.logRetryMs },
      "The log can't be read.",
      { cause },
    );
  return { ...world, clock, log, cursor, unavailable };
}

/** Lets time pass until something that a test waits for has happened. */
export async function passing<T>(clock: ManualClock, wanted: Promise<T>): Promise<T> {
  let settled = false;
  const watched = wanted.finally(() => {
    settled = true;
  });
  while (!settled) {
    clock.advance(limits.logRetryMs);
    for (let i = 0; i < 5; i++) await turn();
  }
  return watched;
}

/** An end that a reader may come back from: in the frame, and in the error of an edge that has one. */
export function expectReturn(
  viewer: Viewer,
  reason: "logUnavailable" | "serverClosing",
  { code, detail }: { readonly code: string | undefined; readonly detail: unknown },
) {
  expect(viewer.cases.at(-1)).toBe("diagnostic");
  expect(viewer.terminal?.reason.case).toBe(reason);
  expect(code ?? "unavailable").toBe("unavailable");
  if (code !== undefined) expect(detail).toEqual(viewer.terminal);
  expect(decodeCursor(viewer.cursor).closing).toBe(false);
  const value = viewer.terminal?.reason.value as { retryAfter?: { seconds: bigint } };
  expect(Number(value.retryAfter?.seconds)).toBeGreaterThan(0);
}
