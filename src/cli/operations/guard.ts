import { spawn } from "node:child_process";
import type { Writable } from "node:stream";

/**
 * Reads which groups begin, each with its grace in milliseconds, and which end, and ends those that are left when nobody can
 * say any more: when the other end of its stdin is gone, which no death of this process can prevent. It ends when they have
 * ended, or after SIGKILL and 5 s. Time is counted in sleeps, so a grace is never shorter than it should be. Processes that are
 * dead and that nobody collects do not count, where /proc tells them.
 */
const script = `
lives() {
  seen=
  for file in /proc/[0-9]*/stat; do
    rest=
    while read -r line; do rest=\${line##*) }; done < "$file"
    set -- "$1" $rest
    [ "$4" = "$1" ] || continue
    seen=yes
    case $2 in Z | X) ;; *) return 0 ;; esac
  done
  [ -z "$seen" ] && kill -s 0 -- "-$1"
}
groups=
while read -r what id grace; do
  rest=
  for group in $groups; do [ "\${group%:*}" = "$id" ] || rest="$rest $group"; done
  groups=$rest
  [ "$what" = begin ] && groups="$groups $id:$grace"
done
for group in $groups; do kill -s TERM -- "-\${group%:*}"; done
passed=0
while [ -n "$groups" ]; do
  left=
  for group in $groups; do
    id=\${group%:*}
    grace=\${group#*:}
    [ "$passed" -lt "$((grace + 5000))" ] && lives "$id" || continue
    left="$left $group"
    [ "$passed" -lt "$grace" ] || kill -s KILL -- "-$id"
  done
  groups=$left
  [ -n "$groups" ] || break
  if sleep 0.05; then passed=$((passed + 50)); else sleep 1 && passed=$((passed + 1000)); fi
done
[ -z "$1" ] || rm -f -- "$1"
`;

let stdin: Writable | undefined;

/** Begins the watch over a process group, so that a server that is killed leaves no command behind. */
export function guardGroup(groupId: number, graceMs: number): void {
  tell(`begin ${groupId} ${Math.ceil(graceMs)}`);
}

/** Ends the watch: from here on the number may be another's. */
export function unguardGroup(groupId: number): void {
  tell(`end ${groupId} 0`);
}

/** A file that the guard has open until it ends, and then removes. */
export interface HeldFile {
  readonly path: string;
  readonly fd: number;
}

/** Starts the guard of this process, if it has none. */
export function startGuard(held?: HeldFile): void {
  stdin ??= spawnGuard(held);
}

function tell(line: string): void {
  startGuard();
  stdin?.write(`${line}\n`);
}

function spawnGuard(held: HeldFile | undefined): Writable {
  // Of a group of its own: what ends ours must not end it.
  const child = spawn("/bin/sh", ["-c", script, "sh", held?.path ?? ""], {
    cwd: "/",
    detached: true,
    stdio: ["pipe", "ignore", "ignore", held?.fd ?? "ignore"],
  });
  child.on("error", () => undefined);
  child.unref();
  const pipe = child.stdin as Writable & { unref?(): void };
  // Killed by someone, or no shell here: commands run without it.
  pipe.on("error", () => undefined);
  // A pipe of a child keeps the process alive while it is open, and this one is open to the end.
  pipe.unref?.();
  return pipe;
}
