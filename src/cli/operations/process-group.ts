import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { sendSignal } from "../run/child.ts";
import { guardGroup, unguardGroup } from "./guard.ts";

/** Milliseconds between two looks at a group that is to end, and for which one that was killed is waited for. */
const lookEveryMs = 20;
const killedWithinMs = 5_000;

/** Groups that have not ended. Whatever ends this process ends them as well: SIGKILL by the guard, all else here. */
const living = new Set<ProcessGroup>();

process.once("exit", () => {
  for (const group of living) group.kill();
});

/** A command and all that it started, as far as that stayed in the command's process group. */
export class ProcessGroup {
  readonly #id: number;
  readonly #graceMs: number;
  #ending: Promise<void> | undefined;

  /** `id`: process id of the command, which leads the group. `graceMs`: between SIGTERM and SIGKILL. */
  constructor(id: number, graceMs: number) {
    this.#id = id;
    this.#graceMs = graceMs;
    living.add(this);
    guardGroup(id, graceMs);
  }

  /** Asks the group to end, makes it after the grace, and settles when nothing of it is left. Call it as often as you like. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  /** Ends it at once. */
  kill(): void {
    sendSignal(-this.#id, "SIGKILL");
  }

  async #end(): Promise<void> {
    if (sendSignal(-this.#id, "SIGTERM") && !(await this.#gone(this.#graceMs))) {
      this.kill();
      // A process that waits for a device dies when it has it; nothing can hurry that.
      await this.#gone(killedWithinMs);
    }
    // From here on its number may be another's.
    living.delete(this);
    unguardGroup(this.#id);
  }

  /** Whether it ends within a time. */
  async #gone(withinMs: number): Promise<boolean> {
    const until = performance.now() + withinMs;
    while (this.#lives()) {
      if (performance.now() >= until) return false;
      await delay(Math.min(lookEveryMs, Math.max(1, until - performance.now())));
    }
    return true;
  }

  #lives(): boolean {
    return sendSignal(-this.#id, 0) && hasLivingProcess(this.#id);
  }
}

/**
 * Whether a group that a signal can be sent to has a process that is more than an entry in the table: in a container whose
 * first process collects no children, the dead stay there for ever.
 */
function hasLivingProcess(groupId: number): boolean {
  if (process.platform !== "linux") return true;
  let seen = false;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(name);
    if (stat?.groupId !== groupId) continue;
    seen = true;
    if (stat.state !== "Z" && stat.state !== "X") return true;
  }
  // Another user's, hidden from us: there is something that a signal reached.
  return !seen;
}

function statOf(pid: string): { readonly state: string; readonly groupId: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    // Gone since the directory was read.
    return undefined;
  }
  // The second field is the name in parentheses, which may hold anything.
  const [state, , groupId] = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: state as string, groupId: Number(groupId) };
}
