import { toJson } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { GetTranscriptResponseSchema, WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { conversation, getTranscript, take } from "../runtime/transcripts/support.ts";
import { serveRpc, transports } from "./serving.ts";

describe.each(transports)("GetTranscript over %s", (_name, transport) => {
  test("answers as the runtime does, says not modified, and refuses with a diagnostic", async () => {
    const serving = await serveRpc();
    const { runtime } = serving;
    const workers = createClient(WorkerService, transport(serving));
    await runtime.publish(take(conversation("w"), 13));
    const answer = await workers.getTranscript({ workerId: "w", pageSize: 1000 });
    expect(toJson(GetTranscriptResponseSchema, answer)).toEqual(
      toJson(GetTranscriptResponseSchema, await getTranscript(runtime, "w")),
    );
    const { cursor } = await runtime.worker("w").stdout("not of the transcript");
    const same = await workers.getTranscript({ workerId: "w", ifRevisionNot: answer.revision });
    expect([same.notModified, same.entries, same.cursor, same.fold]).toEqual([true, [], cursor, undefined]);
    const refusal = await workers.getTranscript({ workerId: "nobody" }).catch(ConnectError.from);
    if (!(refusal instanceof ConnectError)) throw new Error("was not refused");
    expect(refusal.code).toBe(Code.NotFound);
    expect(refusal.findDetails(StreamDiagnosticSchema)[0]?.reason.case).toBe("workerNotFound");
  });
});
