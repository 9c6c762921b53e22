import type { ChildProcess } from "node:child_process";
import { join } from "node:path";

/** Options of Node for a server that can be asked for what it holds, and has the limits of `lowered.ts`. */
export const probeArgs: readonly string[] = ["--expose-gc", "--import", join(import.meta.dirname, "probe.ts")];

/** What a server is asked. */
export interface HeapQuestion {
  /** File for a heap snapshot. Undefined: none is wanted. */
  readonly snapshot?: string;
}

/** Bytes that a process holds once its garbage was collected: in the heap of V8, and what V8 knows of outside of that. */
export interface HeapUse {
  readonly heapUsed: number;
  readonly external: number;
  /** What V8 had taken for its heap before, garbage included. */
  readonly heapTotal: number;
}

/** Milliseconds that a process may take to answer. It may be stopped for that long. */
const answerMs = 90_000;

/** Asks a process that was started with `probeArgs` and a channel. Undefined: it has ended, or does not answer. */
export function heapUseOf(child: ChildProcess, question: HeapQuestion = {}): Promise<HeapUse | undefined> {
  const { promise, resolve } = Promise.withResolvers<HeapUse | undefined>();
  const hear = (use: unknown): void => resolve(use as HeapUse);
  const end = (): void => resolve(undefined);
  const timer = setTimeout(end, answerMs);
  child.once("message", hear);
  child.once("close", end);
  child.send(question, (error) => {
    if (error !== null) end();
  });
  return promise.finally(() => {
    clearTimeout(timer);
    child.off("message", hear);
    child.off("close", end);
  });
}
