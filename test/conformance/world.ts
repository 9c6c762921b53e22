import { onTestFinished } from "vitest";
import type { Clock } from "../../src/base/clock.ts";
import type { RetentionLimits } from "../../src/base/limits.ts";
import type { EventLog } from "../../src/log/contract.ts";
import type { PublishReceipt } from "../../src/runtime/publishing.ts";
import { Runtime, type RuntimeOptions } from "../../src/runtime/runtime.ts";
import { createServer, type Server, type ServerOptions } from "../../src/server/index.ts";

export interface LogOptions {
  readonly retention?: Partial<RetentionLimits>;
  readonly clock?: Clock;
}

/** A log that the protocol is tried over, empty at first. What it needs on disk is of the test alone. */
export interface LogUnderTest {
  readonly name: string;
  open(options: LogOptions): Promise<EventLog>;
}

export interface WorldOptions extends LogOptions, Pick<ServerOptions, "stallTimeoutMs"> {
  /** What bounds the memory of jobs. */
  readonly jobs?: NonNullable<RuntimeOptions["jobs"]>;
  /** Puts something between the runtime and its log. */
  readonly wrap?: (log: EventLog) => EventLog;
  /** Whether the test brings faults about on purpose; else a fault fails it. */
  readonly expectFaults?: boolean;
}

export interface World {
  readonly log: EventLog;
  readonly runtime: Runtime;
  readonly server: Server;
  readonly url: string;
  /** Faults that were reported, with their incident ids. */
  readonly faults: { readonly error: unknown; readonly incidentId: string | undefined }[];
}

/** Serves a runtime over a log on a port of its own until the test ends. */
export async function serveOver(logs: LogUnderTest, options: WorldOptions = {}): Promise<World> {
  const { clock, retention, jobs, wrap = (log) => log, expectFaults = false, ...server } = options;
  const log = wrap(
    await logs.open({ ...(clock === undefined ? {} : { clock }), ...(retention === undefined ? {} : { retention }) }),
  );
  const faults: { error: unknown; incidentId: string | undefined }[] = [];
  const onError = (error: unknown, incidentId?: string): void => {
    faults.push({ error, incidentId });
  };
  const common = { onError, ...(clock === undefined ? {} : { clock }) };
  const runtime = new Runtime({ log, ...common, ...(jobs === undefined ? {} : { jobs }) });
  const served = await createServer({ ...server, ...common, runtime, listen: "127.0.0.1:0" });
  onTestFinished(async () => {
    await served.close({ graceMs: 50 });
    await runtime.close();
    if (!expectFaults && faults.length > 0) {
      throw new AggregateError(
        faults.map(({ error }) => error),
        "the server reported faults",
      );
    }
  });
  return { log, runtime, server: served, url: served.url, faults };
}

/** Publishes events of a worker one by one, each under its correlation id. */
export async function publishIds(runtime: Runtime, workerId: string, ids: readonly string[]): Promise<PublishReceipt> {
  let receipt: PublishReceipt | undefined;
  for (const id of ids) receipt = await publishBatch(runtime, workerId, [id]);
  return receipt as PublishReceipt;
}

/** Publishes events of a worker in one batch, each under its correlation id. */
export function publishBatch(runtime: Runtime, workerId: string, ids: readonly string[]): Promise<PublishReceipt> {
  return runtime.publish(
    ids.map((id) => ({
      workerId,
      correlationId: id,
      payload: { case: "custom" as const, value: { type: "test", data: new TextEncoder().encode(id) } },
    })),
  );
}

/** "prefix1", "prefix2", ... */
export function idsOf(prefix: string, count: number, from = 1): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${from + index}`);
}
