// A server and a client in one program: watches, leaves, misses something, and comes back for it. Prints what it saw.
import { MemoryLog, Runtime } from "tailrace";
import { createPublisher, hasReason, watch } from "tailrace/client";
import { createServer } from "tailrace/server";

const runtime = new Runtime({ log: new MemoryLog() });
const server = await createServer({ runtime, listen: "127.0.0.1:0" });
const publisher = createPublisher({ baseUrl: server.url });

const publish = (message: string) =>
  publisher.publish({ workerId: "builder", payload: { case: "narration", value: { action: "build", message } } });

const seen: string[] = [];
/** Returns the cursor of the event that it stopped at. */
async function watchUntil(message: string, cursor?: string): Promise<string> {
  const start = cursor === undefined ? {} : { cursor };
  for await (const event of watch({ baseUrl: server.url, kinds: ["narration"], ...start })) {
    if (event.payload.case !== "narration") continue;
    seen.push(event.payload.value.message);
    if (event.payload.value.message === message) return event.cursor;
  }
  throw new Error(`the watch ended before "${message}"`);
}

await publish("first");
const cursor = await watchUntil("first");
await publish("while away");
await publish("last");
await watchUntil("last", cursor);

const refused = await Array.fromAsync(watch({ baseUrl: server.url, cursor: "nonsense" })).catch(
  (error: unknown) => error,
);

await publisher.close();
await server.close();
await runtime.close();
console.log(JSON.stringify({ seen, refused: hasReason(refused, "cursor_malformed") }));
