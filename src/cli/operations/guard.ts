import { spawn } from "node:child_process";
import type { Writable } from "node:stream";

/** Seconds that groups have to end after SIGTERM when this process was killed, before they get SIGKILL. */
const graceSeconds = 5;

/**
 * Reads which groups begin and end, and ends those that are left when nobody can say any more: when the other end of its
 * stdin is gone, which no death of this process can prevent.
 */
const script = `
groups=
while read -r what id; do
  rest=
  for group in $groups; do [ "$group" = "$id" ] || rest="$rest $group"; done
  groups=$rest
  [ "$what" = begin ] && groups="$groups $id"
done
[ -n "$groups" ] || exit 0
for group in $groups; do kill -s TERM -- "-$group"; done
sleep ${graceSeconds}
for group in $groups; do kill -s KILL -- "-$group"; done
`;

let stdin: Writable | undefined;

/** Begins or ends the watch over a process group, so that a server that is killed leaves no command behind. */
export function guard(what: "begin" | "end", groupId: number): void {
  stdin ??= startGuard();
  stdin.write(`${what} ${groupId}\n`);
}

function startGuard(): Writable {
  // Of a group of its own: what ends ours must not end it.
  const child = spawn("/bin/sh", ["-c", script], { cwd: "/", detached: true, stdio: ["pipe", "ignore", "ignore"] });
  child.on("error", () => undefined);
  child.unref();
  const { stdin: pipe } = child;
  // Killed by someone, or no shell here: commands run without it.
  pipe.on("error", () => undefined);
  // A pipe of a child keeps the process alive while it is open, and this one is open to the end.
  (pipe as Writable & { unref?(): void }).unref?.();
  return pipe;
}
