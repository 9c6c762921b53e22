import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { publishIds } from "../conformance/world.ts";
import { serve } from "../support/serving.ts";
import { jsonValues, Program, sightingOfFrames } from "./program.ts";
import { watchLeaveResume } from "./scenario.ts";

const protocols = [
  { name: "Connect over HTTP/1.1", args: ["--protocol", "connect"] },
  { name: "Connect over HTTP/2", args: ["--protocol", "connect", "--http2-prior-knowledge"] },
  { name: "gRPC", args: ["--protocol", "grpc", "--http2-prior-knowledge"] },
  { name: "gRPC-Web", args: ["--protocol", "grpcweb"] },
];

function bufCurl(url: string, args: readonly string[], request: object): Program {
  return new Program({
    file: "buf",
    args: [
      "curl",
      "--schema",
      "proto",
      ...args,
      "--data",
      JSON.stringify(request),
      `${url}/tailrace.v1.EventStreamService/WatchEvents`,
    ],
    read: (stdout) => sightingOfFrames(jsonValues(stdout)),
    install: "npm ci installs it.",
  });
}

describe.each(protocols)("buf curl over $name", ({ args }) => {
  it("watches, vanishes and resumes", async () => {
    await watchLeaveResume((url, cursor) => bufCurl(url, args, cursor === undefined ? {} : { cursor }));
  });

  it("watches the kinds and the worker that are asked for", async () => {
    const { runtime, server } = await serve();
    await publishIds(runtime, "other", ["no"]);
    await publishIds(runtime, "w", ["1"]);
    await runtime.worker("w").stdout("of another kind");
    await publishIds(runtime, "w", ["2"]);
    const program = bufCurl(server.url, args, { workerIds: ["w"], kinds: ["EVENT_KIND_CUSTOM"] });
    expect((await program.until(2)).ids).toEqual(["1", "2"]);
    await program.stop();
  });

  it("shows a typed error", async () => {
    const { server } = await serve();
    const { stderr, code } = await bufCurl(server.url, args, { cursor: "none" }).rest();
    // Its exit status is 8 times the code of the error: invalid_argument is 3.
    expect(code).toBe(24);
    const [error] = jsonValues(stderr) as [{ code: string; details: [{ type: string; value: string }] }];
    expect([error.code, error.details[0].type]).toEqual(["invalid_argument", StreamDiagnosticSchema.typeName]);
    const detail = fromBinary(StreamDiagnosticSchema, Buffer.from(error.details[0].value, "base64"));
    expect(detail.reason.case).toBe("cursorMalformed");
  });
});
