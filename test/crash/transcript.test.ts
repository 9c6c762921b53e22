import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { fromBinary } from "@bufbuild/protobuf";
import { expect, onTestFinished, test } from "vitest";
import { type Event, EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { foldTranscript } from "../../src/events/transcript/fold.ts";
import { emptyTranscript } from "../../src/events/transcript/state.ts";
import { openEmbeddedLog } from "../../src/log/embedded/index.ts";
import { Runtime } from "../../src/runtime/runtime.ts";
import { retainedEvents, shown, stateOfPages } from "../runtime/transcripts/support.ts";
import { scratchDirectory } from "../support/scratch.ts";

const program = fileURLToPath(new URL("./transcript-writer.ts", import.meta.url));

/** Lets a process write until it is killed; gives what it said was committed. */
async function live(directory: string, life: number): Promise<Event[]> {
  const child = spawn(process.execPath, [program, directory, String(life)], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let out = "";
  const isWriting = new Promise<void>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      if (out.length > 20_000 * (life + 1)) resolve();
    });
  });
  const ended = once(child, "close");
  await Promise.race([isWriting, ended]);
  child.kill("SIGKILL");
  const [, signal] = await ended;
  expect(signal).toBe("SIGKILL");
  // The last line may be cut off.
  const lines = out.slice(0, out.lastIndexOf("\n")).split("\n");
  return lines.map((line) => fromBinary(EventSchema, Buffer.from(line, "base64")));
}

test("a transcript survives SIGKILL in the middle of everything, also where retention removes what it was made of", async () => {
  const directory = scratchDirectory();
  let truth = emptyTranscript();
  for (let life = 0; life < 6; life++) {
    truth = (await live(directory, life)).reduce(foldTranscript, truth);
    const log = await openEmbeddedLog({ directory, durability: "process", retention: { workerEvents: 20 } });
    const faults: unknown[] = [];
    const runtime = new Runtime({ log, onError: (error) => faults.push(error) });
    const state = await stateOfPages(runtime, "w");
    // What was committed in the last moment, and not heard of, is still there: it can't have been kept and removed.
    expect(state.sequence).toBeGreaterThanOrEqual(truth.sequence);
    for (const event of await retainedEvents(runtime, "w")) {
      if (Number(event.sequence) <= state.sequence) truth = foldTranscript(truth, event);
    }
    expect(shown(state)).toEqual(shown(truth));
    expect(faults).toEqual([]);
    // Every other time also an orderly end.
    if (life % 2 === 0) await runtime.close();
    else await log.close();
  }
  expect(truth.nextEntryNumber).toBeGreaterThan(500);
});
