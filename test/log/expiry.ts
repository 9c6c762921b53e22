import { expect } from "vitest";
import type { EventLog, Scope } from "../../src/log/contract.ts";

/** A read is refused if and only if it begins below the floor. */
export async function expectExactExpiry(log: EventLog, scope: Scope): Promise<void> {
  const { floor, head } = log.bounds(scope);
  for (let after = 0; after <= head.sequence; after++) {
    const page = await log.read({ scope, kinds: undefined, after, until: head.sequence, maxEvents: 9, maxBytes: 999 });
    if (after < floor.sequence) expect(page).toEqual({ kind: "expired", floor });
    else expect(page.kind).toBe("page");
  }
}
