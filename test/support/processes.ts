import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

interface ProcessStatus {
  /** One letter, as in `man 5 proc_pid_stat`. */
  readonly state: string;
  readonly group: number;
}

/** What the system says of a process; undefined: there is none. Read from /proc, since not every system has `ps`. */
function statusOf(pid: number, thread?: string): ProcessStatus | undefined {
  let stat: string;
  try {
    stat = readFileSync(thread === undefined ? `/proc/${pid}/stat` : `/proc/${pid}/task/${thread}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The name, in brackets, may hold anything.
  const [state = "", , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state, group: Number(group) };
}

/** Dead, or dead and not collected: where nobody collects orphans a dead process stays listed for ever. */
function isDead(status: ProcessStatus | undefined): boolean {
  return status === undefined || status.state === "Z" || status.state === "X";
}

export function processIsGone(pid: number): boolean {
  return isDead(statusOf(pid));
}

/**
 * Stops a process where it stands. The signal alone has a thread that runs on another core go on for a moment, in which it may still
 * answer what it was asked after this.
 */
export function pauseProcess(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined || !child.kill("SIGSTOP")) return;
  const goesOn = (thread: string) => {
    const status = statusOf(pid, thread);
    return !isDead(status) && status?.state !== "T";
  };
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let left = 10_000; !processIsGone(pid) && readdirSync(`/proc/${pid}/task`).some(goesOn); left--) {
    if (left === 0) throw new Error(`process ${pid} does not stop`);
    Atomics.wait(sleeper, 0, 0, 1);
  }
}

/** Whether no process of a group is left. */
export function groupIsGone(groupId: number): boolean {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => statusOf(Number(name)))
    .every((status) => status?.group !== groupId || isDead(status));
}

/** Kills whatever is left of a group. */
export function killGroup(groupId: number): void {
  try {
    process.kill(-groupId, "SIGKILL");
  } catch (error) {
    // Everything has ended already.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Bytes of memory that a process has in use. */
export function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) * 1024;
}

/** The same; undefined: the process has ended. */
export function residentBytesIfAny(pid: number): number | undefined {
  try {
    const bytes = residentBytes(pid);
    return Number.isNaN(bytes) ? undefined : bytes;
  } catch {
    return undefined;
  }
}
