import { setTimeout as delay } from "node:timers/promises";
import { createPublisher } from "../../client/index.ts";
import { openRuntime } from "../open-runtime.ts";
import type { RuntimeSettings } from "../options/runtime-options.ts";
import { say } from "../report.ts";
import type { Publish } from "./recorder.ts";

/** Milliseconds for which a runtime of our own stays while a watcher is behind, and a server has to take the last events. */
const lingerMs = 5_000;
const finishMs = 60_000;
const lookEveryMs = 20;

/** Where the events of a run go. */
export interface Target {
  /** Address for watchers. */
  readonly url: string;
  readonly publish: Publish;
  /** The first events are in: from here on a server that is away is waited for. */
  begin(): void;
  /** Waits for what is still under way, within a bound and until `stop` aborts, and lets go. */
  finish(stop: AbortSignal): Promise<void>;
}

/** A runtime of our own, which lives as long as the command and at most `boundMs` longer, by default 5 s. */
export async function ownRuntime(settings: RuntimeSettings, boundMs = lingerMs): Promise<Target> {
  const { runtime, server, close } = await openRuntime(settings);
  return {
    url: server.url,
    publish: (events) => runtime.publish(events),
    begin: () => undefined,
    async finish(stop) {
      const until = performance.now() + boundMs;
      while (runtime.watchesBehind > 0 && performance.now() < until && !stop.aborted) {
        await delay(lookEveryMs, undefined, { signal: stop }).catch(() => undefined);
      }
      await close(stop.aborted ? 0 : Math.max(0, until - performance.now()));
    },
  };
}

/** A server elsewhere. It must answer at first; later its restarts are ridden out, and every event arrives once. */
export function remoteServer(url: string, watchUrl: string, quiet: boolean): Target {
  const giveUp = new AbortController();
  let begun = false;
  const publisher = createPublisher({
    baseUrl: url,
    signal: giveUp.signal,
    onRetry: ({ delayMs, error }) => {
      if (!begun) giveUp.abort();
      else if (!quiet) say(`${error.message} Trying again in ${(delayMs / 1000).toFixed(1)} s.`);
    },
  });
  return {
    url: watchUrl,
    publish: (events) => publisher.publish(events),
    begin: () => {
      begun = true;
    },
    async finish(stop) {
      const leave = () => giveUp.abort();
      stop.addEventListener("abort", leave, { once: true });
      if (stop.aborted) leave();
      const bound = setTimeout(leave, finishMs);
      await publisher.close();
      clearTimeout(bound);
    },
  };
}
