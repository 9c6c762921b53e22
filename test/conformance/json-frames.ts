import type { JsonObject } from "@bufbuild/protobuf";

/** The first `count` events of a watch over Connect's JSON, as they stand on the wire. */
export async function readJsonFrames(url: string, count: number): Promise<JsonObject[]> {
  const body = Buffer.from("{}");
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(body.length, 1);
  const leave = new AbortController();
  const answer = await fetch(`${url}/tailrace.v1.EventStreamService/WatchEvents`, {
    method: "POST",
    headers: { "content-type": "application/connect+json" },
    body: Buffer.concat([envelope, body]),
    signal: leave.signal,
  });
  const events: JsonObject[] = [];
  let pending = Buffer.alloc(0);
  if (answer.body === null) throw new Error("an answer without a body");
  for await (const chunk of answer.body) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 5 && pending.length >= 5 + pending.readUInt32BE(1)) {
      const end = 5 + pending.readUInt32BE(1);
      const frame = JSON.parse(pending.subarray(5, end).toString("utf8"));
      pending = pending.subarray(end);
      events.push(...(frame.events?.events ?? []));
    }
    if (events.length >= count) break;
  }
  leave.abort();
  return events.slice(0, count);
}
