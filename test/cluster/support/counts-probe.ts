// Loaded into a server before its own program (`--import`): counts what must be bounded, and writes it down when asked.
import { createHook } from "node:async_hooks";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PendingAppends } from "../../../src/log/commit/pending.ts";
import { GroupsInFlight, type SentGroup } from "../../../src/log/jetstream/publish/in-flight.ts";
import { type Counts, countsSignal, countsVariable } from "./counts.ts";

const directory = process.env[countsVariable] as string;
const most = { appendBytes: 0, groupsInFlight: 0, bytesInFlight: 0 };
const now = { appendBytes: 0, groupsInFlight: 0, bytesInFlight: 0 };
const timers = new Set<number>();
const warnings: string[] = [];

const count = (what: keyof typeof now, by: number): void => {
  now[what] += by;
  most[what] = Math.max(most[what], now[what]);
};

/** Has `after` called after each call of a method, with its arguments. */
function follow<Of extends object, Name extends keyof Of>(
  of: Of,
  name: Name,
  after: (...given: never[]) => void,
): void {
  const method = of[name] as (...given: never[]) => unknown;
  of[name] = function (this: unknown, ...given: never[]) {
    const answer = method.apply(this, given);
    after(...given);
    return answer;
  } as Of[Name];
}

type Pending = { readonly bytes: number };
follow(PendingAppends.prototype, "push", ({ bytes }: Pending) => count("appendBytes", bytes));
follow(PendingAppends.prototype, "takeAtOnce", ({ bytes }: Pending) => count("appendBytes", bytes));
follow(PendingAppends.prototype, "settled", (group: readonly Pending[]) => {
  for (const { bytes } of group) count("appendBytes", -bytes);
});

const flights = new Map<number, number>();
follow(GroupsInFlight.prototype, "add", ({ number, bytes }: SentGroup) => {
  flights.set(number, bytes);
  count("groupsInFlight", 1);
  count("bytesInFlight", bytes);
});
follow(GroupsInFlight.prototype, "take", (number: number) => {
  const bytes = flights.get(number);
  if (bytes === undefined) return;
  flights.delete(number);
  count("groupsInFlight", -1);
  count("bytesInFlight", -bytes);
});

// Also those that hold no process alive, which Node does not list.
createHook({
  init(id, type) {
    if (type === "Timeout") timers.add(id);
  },
  destroy(id) {
    timers.delete(id);
  },
}).enable();

process.on("warning", ({ name, message }) => warnings.push(`${name}: ${message}`));

interface Handle {
  readonly writableLength?: number;
}

process.on(countsSignal, () => {
  const handles = (process as unknown as { _getActiveHandles(): readonly Handle[] })._getActiveHandles();
  const unsentBytes = handles.reduce((sum, { writableLength = 0 }) => sum + writableLength, 0);
  const counts: Counts = { most, now, timers: timers.size, handles: handles.length, unsentBytes, warnings };
  const file = join(directory, String(process.pid));
  writeFileSync(`${file}.part`, JSON.stringify(counts));
  renameSync(`${file}.part`, `${file}.json`);
});
