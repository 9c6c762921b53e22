// Loaded into a server before its own program: answers how much memory it holds, over the channel to its parent.
import { setImmediate as turn } from "node:timers/promises";
import { writeHeapSnapshot } from "node:v8";
import { limits } from "../../../src/base/limits.ts";
import type { HeapQuestion, HeapUse } from "./heap.ts";
import { lowered } from "./lowered.ts";

Object.assign(limits, lowered);

async function answer({ snapshot }: HeapQuestion): Promise<HeapUse> {
  const { heapTotal } = process.memoryUsage();
  // What the first one finds in buffers is freed, and finalizers run, before the second one is over.
  globalThis.gc?.();
  await turn();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  if (snapshot !== undefined) writeHeapSnapshot(snapshot);
  return { heapUsed, external, heapTotal };
}

process.on("message", (question: HeapQuestion) => {
  void answer(question).then((use) => process.send?.(use));
});
// The server must end as it does without.
process.channel?.unref();
