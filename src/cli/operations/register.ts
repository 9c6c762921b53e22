import type { Runtime } from "../../runtime/runtime.ts";
import { runCommand } from "./command.ts";
import type { OperationConfig } from "./config.ts";

/** Milliseconds that a command has to die after SIGKILL and its last output to be recorded, before its job is let go. */
const lastWordsMs = 10_000;

/** Makes the operations of a configuration known to a runtime. */
export function registerOperations(runtime: Runtime, operations: readonly OperationConfig[]): void {
  for (const operation of operations) {
    const { description, concurrency, queueDepth, timeouts, cancelGraceMs } = operation;
    runtime.operation(
      operation.name,
      {
        params: operation.params,
        timeouts,
        cancelGraceMs: cancelGraceMs + lastWordsMs,
        ...(description === undefined ? {} : { description }),
        ...(concurrency === undefined ? {} : { concurrency }),
        ...(queueDepth === undefined ? {} : { queueDepth }),
      },
      (params, job) => runCommand(operation, params, job),
    );
  }
}
