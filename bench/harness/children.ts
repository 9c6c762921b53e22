import type { ChildProcess } from "node:child_process";

const running = new Set<ChildProcess>();

/** Remembers a process that this run started, until it has ended. */
export function track(child: ChildProcess): void {
  running.add(child);
  child.once("exit", () => running.delete(child));
}

/** Ends everything that this run started, for a run that is interrupted. */
export function stopAll(): void {
  // SIGTERM and not SIGKILL: the master of nginx takes its worker with it only when it is asked.
  for (const child of running) child.kill("SIGTERM");
}
