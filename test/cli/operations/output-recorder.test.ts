import { spawn } from "node:child_process";
import { expect, onTestFinished, test } from "vitest";
import { type OutputChunk, OutputStream } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { OutputRecorder } from "../../../src/cli/operations/output-recorder.ts";

test("an output that someone holds open is given up for its silence, not for a pause of this process", async () => {
  const child = spawn("sh", ["-c", "read -r _; echo late; exec sleep 1000"], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let text = "";
  const recorder = new OutputRecorder(child.stdout, OutputStream.STDOUT, {
    signal: new AbortController().signal,
    publish: async (payload) => {
      text += Buffer.from((payload as { value: OutputChunk }).value.data).toString();
      return { cursor: "", firstSequence: 0, lastSequence: 0 };
    },
  });
  const finished = recorder.finish();
  child.stdin.write("go\n");
  await new Promise((resolve) => child.stdin.write("", resolve));
  // Nothing is read meanwhile, though it is there.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000);
  await finished;
  expect(text).toBe("late\n");
});
