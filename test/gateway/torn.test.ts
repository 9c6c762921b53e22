import { createParser } from "eventsource-parser";
import { describe, expect, it } from "vitest";
import { serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";

/** What a client has after so many bytes: the events that are whole, and the id that it comes back with. */
function readPrefix(bytes: Buffer): { names: string[]; lastId: string } {
  const names: string[] = [];
  let lastId = "";
  const parser = createParser({
    onEvent: ({ event, data, id }) => {
      if (id !== undefined) lastId = id;
      if (event === "output") names.push(JSON.parse(data).output.data);
    },
  });
  parser.feed(new TextDecoder().decode(bytes, { stream: true }));
  return { names, lastId };
}

describe("a connection that is torn", () => {
  it("resumes without loss or repeat, wherever it was torn", async () => {
    const { server, runtime } = await serve();
    const worker = runtime.worker("w");
    const expected: string[] = [];
    for (let i = 0; i < 6; i++) {
      const text = `${i} ü€\n`;
      expected.push(Buffer.from(text).toString("base64"));
      await worker.stdout(text);
    }
    const url = `${server.url}/v1/workers/w/events?kinds=output`;
    const whole = await openSse(url);
    await whole.take(6, "output");
    await whole.find("diagnostic");
    const bytes = Buffer.from(whole.text);
    whole.abandon();

    const step = 7;
    for (let cut = 1; cut < bytes.length; cut += step) {
      const { names, lastId } = readPrefix(bytes.subarray(0, cut));
      const headers: Record<string, string> = lastId === "" ? {} : { "last-event-id": lastId };
      const again = await openSse(url, { headers });
      const rest = await again.take(expected.length - names.length, "output");
      again.abandon();
      const data = rest.map((message) => JSON.parse(message.data).output.data);
      expect([...names, ...data], `torn after ${cut} bytes`).toEqual(expected);
    }
  });
});
