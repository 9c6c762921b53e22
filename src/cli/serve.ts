import { once } from "node:events";
import { exitCodes } from "./exit-codes.ts";
import { openRuntime } from "./open-runtime.ts";
import type { RuntimeSettings } from "./options/runtime-options.ts";
import { say } from "./report.ts";
import { GracefulStop } from "./stop-signals.ts";

/** Milliseconds that watchers have to take what was written for them, and after which the process ends whatever hangs. */
const closeGraceMs = 5_000;
const closeBoundMs = 10_000;

/** `tailrace serve`: a runtime until someone says stop. */
export async function serve(settings: RuntimeSettings): Promise<number> {
  // Before the log is opened: a signal meanwhile must not leave it half open.
  using stop = new GracefulStop();
  const served = await openRuntime(settings);
  process.stdout.write(`tailrace ready ${served.server.url}\n`);
  if (!stop.signal.aborted) await once(stop.signal, "abort");
  const bound = setTimeout(() => {
    say(`could not close within ${closeBoundMs / 1000} s; ending now. What was acknowledged is kept.`);
    process.exit(exitCodes.failed);
  }, closeBoundMs);
  await served.close(closeGraceMs);
  clearTimeout(bound);
  return exitCodes.ok;
}
