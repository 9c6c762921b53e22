import { expect, test } from "vitest";
import { EventKind } from "../../gen/tailrace/v1/event_pb.ts";

import { hashId, origin, type Position } from "../../src/events/cursor.ts";
import type { EventBlock } from "../../src/log/block.ts";
import type { Scope } from "../../src/log/contract.ts";
import { Subjects } from "../../src/log/subjects.ts";
import { type Selection, Selections } from "../../src/stream/selection.ts";

/** Kinds that count how often they are asked. */
class CountingKinds extends Set<number> {
  asked = 0;

  override has(kind: number): boolean {
    this.asked++;
    return super.has(kind);
  }
}

const count = 1_000;
const ids = Array.from({ length: count }, (_, i) => `id ${i}`);

/** One event of each worker, and of the job of the same id. */
function oneOfEach(): EventBlock {
  const subjects = new Subjects();
  const jobSubjects = new Subjects();
  const numbers = Float64Array.from(ids, (_, i) => i + 1);
  return {
    length: count,
    sequences: numbers,
    ordinals: numbers,
    workers: Uint32Array.from(ids, (id) => subjects.add(id)),
    workerOrdinals: new Float64Array(count).fill(7),
    jobs: Uint32Array.from(ids, (id) => jobSubjects.add(id)),
    jobOrdinals: new Float64Array(count).fill(3),
    kinds: new Uint32Array(count).fill(EventKind.OUTPUT),
    times: new Float64Array(count),
    bytes: new Uint8Array(),
    starts: new Uint32Array(count),
    ends: new Uint32Array(count),
    subjects,
    jobSubjects,
  };
}

test.each([
  ["jobs", (id: string): Scope => ({ kind: "job", jobId: id }), { jobOrdinal: 3 }],
  ["workers", (id: string): Scope => ({ kind: "workers", workerIds: [id] }), { workerOrdinal: 7 }],
])("a thousand watches of a thousand %s are each offered their own events only", (_, scopeOf, counted) => {
  const selections = new Selections();
  const kinds = ids.map(() => new CountingKinds([EventKind.OUTPUT]));
  const active = ids.map((id, i) => {
    const selection = selections.acquire(scopeOf(id), kinds[i] as CountingKinds);
    selections.activate(selection);
    return selection;
  });
  expect(selections.size).toBe(count);
  const dirty = new Set<Selection>();
  selections.match(oneOfEach(), dirty);
  expect(kinds.map(({ asked }) => asked)).toEqual(new Array(count).fill(1));
  expect(dirty).toEqual(new Set(active));
  const head: Position = { ...origin, sequence: count, ordinal: count };
  active.forEach((selection, i) => {
    expect(selection.takePending().map(({ indices }) => indices)).toEqual([[i]]);
    const { workerHash, jobHash, ...position } = selection.position(head);
    expect(workerHash + jobHash).toBe(hashId(ids[i] as string));
    expect(position).toMatchObject({ sequence: count, workerOrdinal: 0, jobOrdinal: 0, ...counted });
    selections.deactivate(selection);
    selections.release(selection);
  });
  dirty.clear();
  selections.match(oneOfEach(), dirty);
  expect([dirty.size, selections.size]).toEqual([0, 0]);
});

test("a worker, a job and the runtime are never one selection, whatever their ids", () => {
  const selections = new Selections();
  const scopes: Scope[] = [
    { kind: "runtime" },
    { kind: "job", jobId: "a" },
    { kind: "workers", workerIds: ["a"] },
    { kind: "workers", workerIds: ["a", "b"] },
    { kind: "job", jobId: '["a","b"]' },
  ];
  for (const scope of scopes) selections.acquire(scope, undefined);
  expect(selections.size).toBe(scopes.length);
  selections.acquire({ kind: "job", jobId: "a" }, undefined);
  expect(selections.size).toBe(scopes.length);
});
