import { toJsonString } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { WorkerStateSchema } from "../../gen/tailrace/v1/payloads_pb.ts";
import { type Worker, WorkerSchema } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { createWorkers } from "../client/index.ts";
import type { workersOptions } from "./commands/workers.ts";
import { exitCodes } from "./exit-codes.ts";
import { chosenServer } from "./options/server-option.ts";
import type { OptionValues } from "./options/spec.ts";
import { describeEnd, enumWord } from "./output/describe.ts";
import { printable, type Style, styleFor } from "./output/style.ts";
import { textTable } from "./output/table.ts";
import { TextWriter } from "./output/writer.ts";

/** Workers whose columns are made equally wide. More are shown in several such groups, so that none waits for the last. */
const groupSize = 1_000;

/** `tailrace workers`: what a server knows of its workers. */
export async function listWorkers(values: OptionValues<typeof workersOptions>): Promise<number> {
  const writer = new TextWriter(process.stdout);
  const style = styleFor(process.stdout);
  const workers = createWorkers({ baseUrl: chosenServer(values.server) });
  let group: Worker[] = [];
  let first = true;
  const show = async () => {
    await writer.write(table(group, first, style));
    group = [];
    first = false;
  };
  for await (const worker of workers.list({ signal: writer.closed })) {
    if (values.format === "json") {
      await writer.write(`${toJsonString(WorkerSchema, worker)}\n`);
    } else {
      group.push(worker);
      if (group.length >= groupSize) await show();
    }
    if (writer.closed.aborted) break;
  }
  if (values.format !== "json" && (group.length > 0 || first)) await show();
  await writer.flush();
  workers.close();
  return exitCodes.ok;
}

function table(workers: readonly Worker[], withHead: boolean, style: Style): string {
  const rows = workers.map((worker) => [
    printable(worker.workerId, false),
    enumWord(WorkerStateSchema.value, worker.state).replace("unspecified", "-"),
    String(worker.lastWorkerSequence),
    String(worker.retainedEvents),
    worker.lastEventTime === undefined ? "-" : new Date(timestampMs(worker.lastEventTime)).toISOString(),
    worker.ended === undefined ? "" : printable(describeEnd(worker.ended), false),
  ]);
  return textTable(["WORKER", "STATE", "EVENTS", "RETAINED", "NEWEST", "END"], rows, withHead, style);
}
