import { createInterface } from "node:readline";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";

/**
 * A server in a process of its own. Each line on stdin is a command: "submit", "finish <job>" or "close". Each line on
 * stdout says what happened: "open", "submitted <job>", "began <job>", "aborted <job> <message>", "refused <job> <reason>".
 */
const [url = "", namespace = ""] = process.argv.slice(2);
const log = await openJetStreamLog({ servers: [url], namespace });
const runtime = new Runtime({ log, onError: () => undefined });
const finish = new Map<string, () => void>();

function say(...words: string[]): void {
  process.stdout.write(`${words.join(" ")}\n`);
}

runtime.operation("work", { concurrency: 2 }, async (_, job) => {
  say("began", job.id);
  job.signal.addEventListener("abort", () => {
    say("aborted", job.id, (job.signal.reason as Error).message);
    job
      .narrate("said", "after the abort")
      .catch((error: { reason?: string }) => say("refused", job.id, `${error.reason}`));
  });
  await new Promise<void>((resolve) => finish.set(job.id, resolve));
});
say("open");

for await (const line of createInterface({ input: process.stdin })) {
  const [command, id = ""] = line.split(" ");
  if (command === "submit") say("submitted", (await runtime.submit("work")).jobId);
  if (command === "finish") finish.get(id)?.();
  if (command === "close") await runtime.close();
}
