import type { Clock } from "../../../src/base/clock.ts";
import type { RetentionLimits } from "../../../src/base/limits.ts";
import { Runtime, type RuntimeOptions } from "../../../src/runtime/runtime.ts";
import { SharedStream } from "../../support/shared-stream.ts";

export type Server = {
  readonly log: ReturnType<SharedStream["open"]>;
  readonly kill: () => void;
  readonly runtime: Runtime;
};

/** Servers over one stream, the first of which is the keeper. */
export async function serversOf(
  count: number,
  options: { readonly retention?: Partial<RetentionLimits>; readonly transcripts?: RuntimeOptions["transcripts"] } = {},
) {
  const stream = new SharedStream({ retention: options.retention ?? {} });
  const { clock } = stream;
  const { transcripts = {} } = options;
  const open = (ownClock: Clock = clock) => {
    const log = stream.open();
    let isAlive = true;
    const onError = (error: unknown) => {
      if (isAlive) throw error;
    };
    const kill = () => {
      isAlive = false;
      stream.kill(log);
    };
    return { log, kill, runtime: new Runtime({ log, clock: ownClock, transcripts, onError }) };
  };
  const servers = Array.from({ length: count }, () => open());
  servers[0]?.log.takeOver();
  await stream.until();
  /** What is asked of servers happens while messages come and go. */
  const done = async <T>(asked: Promise<T>): Promise<T> => {
    await stream.until(asked);
    return asked;
  };
  return { stream, clock, servers: servers as [Server, Server, Server], open, done };
}
