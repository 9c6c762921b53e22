import { spawn } from "node:child_process";
import { fstatSync } from "node:fs";

/**
 * Calls back when whoever reads our stdout has left (`| head`), also while we have nothing to write. Node looks at a pipe
 * only when it writes to it, and a quiet watch would stay for ever. GNU tail does look, so one follows nothing on the same
 * pipe; it dies of SIGPIPE when the reader is gone, and goes with us when we are. Where there is no such tail, the next
 * write tells. Returns how to stop.
 */
export function onReaderLeft(listener: () => void): () => void {
  if (process.platform !== "linux" || !fstatSync(1).isFIFO()) return () => undefined;
  const sentinel = spawn("tail", ["-f", "--sleep-interval=0.2", `--pid=${process.pid}`, "/dev/null"], {
    stdio: ["ignore", 1, "ignore"],
  });
  sentinel.once("exit", (_code, signal) => {
    if (signal === "SIGPIPE") listener();
  });
  sentinel.once("error", () => undefined);
  sentinel.unref();
  return () => {
    sentinel.kill();
  };
}
