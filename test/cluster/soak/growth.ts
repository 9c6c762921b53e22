import type { MemoryOfLife } from "./memory.ts";

/**
 * MiB that a server may hold more in its last quarter than in its second, if it lived for so many minutes: in the first
 * quarter everything is filled that has a limit. Half of an hour is 180,000 events and 1,800 jobs, so 20 bytes of each event or
 * 2 KiB of each job are more than that.
 */
const allowed = { heap: 2.5, external: 4, minutes: 40 };

/** Says which servers hold more and more. */
export function grown(lives: readonly MemoryOfLife[]): string[] {
  return lives.flatMap(({ name, minutes, held }) => {
    if (held === undefined || minutes < allowed.minutes) return [];
    return (["heap", "external"] as const)
      .filter((kind) => held[kind].late - held[kind].early > allowed[kind])
      .map((kind) => `${name} holds ${held[kind].late} MiB of ${kind} memory, and held ${held[kind].early} before`);
  });
}
