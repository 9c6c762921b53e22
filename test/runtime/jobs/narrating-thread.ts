import { parentPort, workerData } from "node:worker_threads";
import { currentJob, hasReason, jobLogger, narrate, progress } from "../../../src/index.ts";

// Says something as the job that it was started for, waits for the job's abort, and tells what became of it.
const job = currentJob();
const before = { id: job?.id, operation: job?.operation, workerId: job?.workerId, correlationId: job?.correlationId };
const { cursor } = await narrate("in_thread", `from ${workerData.name}`, { level: "warn" });
await progress({ done: 1 });
jobLogger.info("logged in a thread");
const refused = await job?.publish({ case: "jobStateChanged", value: {} }).then(
  () => "published",
  (error: unknown) => (hasReason(error, "invalid_request") ? error.reason : String(error)),
);
parentPort?.postMessage({ before, hasCursor: cursor.length > 0, refused });
const { signal } = job as NonNullable<typeof job>;
await new Promise<void>((resolve) => {
  // A port keeps the thread alive while it waits.
  parentPort?.on("message", async () => {
    const late = await narrate("late", "is anyone there?").then(
      () => "published",
      (error: unknown) => (error as { reason?: string }).reason,
    );
    parentPort?.postMessage({ late });
    resolve();
    parentPort?.close();
  });
  const tell = () => parentPort?.postMessage({ aborted: signal.reason.name });
  if (signal.aborted) tell();
  else signal.addEventListener("abort", tell);
});
