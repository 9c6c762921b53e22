import type { Clock } from "../base/clock.ts";
import type { ReportError } from "../base/incident.ts";
import type { ServiceName } from "../base/services.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** What the gateway needs of a runtime. */
export type GatewayRuntime = Pick<
  Runtime,
  | "cursors"
  | "timeMs"
  | "health"
  | "openWatch"
  | "lookUp"
  | "listWorkers"
  | "getWorker"
  | "getTranscript"
  | "submitJob"
  | "startJob"
  | "cancelJob"
  | "getJob"
  | "listJobs"
>;

/** What every route works with. */
export interface GatewayContext {
  readonly runtime: GatewayRuntime;
  /** What is served of it. */
  readonly services: ReadonlySet<ServiceName>;
  /** What its watches have in common, so that they can be ended together. Default: nothing. */
  readonly group?: object | undefined;
  readonly clock: Clock;
  /** Milliseconds after which a reader that takes nothing with bytes pending is cut off. */
  readonly stallTimeoutMs: number;
  /** Whether the server is shutting down. */
  readonly isClosing: () => boolean;
  readonly report: ReportError;
}
