import { EventSource as NpmEventSource } from "eventsource";
import { EventSource as UndiciEventSource } from "undici";
import { describe, expect, it, type TestContext } from "vitest";
import { MemoryLog } from "../../src/log/memory/index.ts";
import { serve } from "../support/serving.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";

interface Client {
  /** Output of the worker, in the order that it came. */
  readonly seen: string[];
  /** Names of the reasons of terminal diagnostics. */
  readonly ends: string[];
  readonly opens: () => number;
  readonly isClosed: () => boolean;
}

/** What both have of the browser's. */
interface EventSourceClass {
  readonly CLOSED: number;
  new (
    url: string,
  ): {
    readonly readyState: number;
    addEventListener(name: string, listener: (event: { data: string }) => void): void;
    close(): void;
  };
}

/** An EventSource as a page would use it: it knows nothing of cursors. */
function follow(Source: EventSourceClass, url: string, { onTestFinished }: TestContext): Client {
  const seen: string[] = [];
  const ends: string[] = [];
  let opens = 0;
  const source = new Source(url);
  onTestFinished(() => source.close());
  source.addEventListener("open", () => {
    opens++;
  });
  source.addEventListener("error", () => undefined);
  source.addEventListener("output", (event) => {
    seen.push(Buffer.from(JSON.parse(event.data).output.data, "base64").toString());
  });
  source.addEventListener("diagnostic", (event) => {
    const diagnostic = JSON.parse(event.data);
    if (diagnostic.severity === "SEVERITY_TERMINAL") {
      ends.push(...Object.keys(diagnostic).filter((key) => !["severity", "message", "cursor"].includes(key)));
    }
  });
  return { seen, ends, opens: () => opens, isClosed: () => source.readyState === Source.CLOSED };
}

const clients: readonly (readonly [string, EventSourceClass])[] = [
  ["eventsource", NpmEventSource as unknown as EventSourceClass],
  ["undici", UndiciEventSource as unknown as EventSourceClass],
];

// Both wait 3 s before they come back, so they wait together.
describe.concurrent.each(clients)("the EventSource of %s", (_name, Source) => {
  it("comes back over a restart to what was published while it was away", async (context) => {
    const log = new MemoryLog();
    const first = await serve({ log }, context.onTestFinished);
    // Keeps the address while there is no server.
    const proxy = await startTcpProxy(first.server.address.port, context.onTestFinished);
    await first.runtime.worker("w").stdout("0");
    // The start in the URL is sent again with every reconnection, and must not count then.
    const client = follow(Source, `${proxy.url}/v1/workers/w/events?kinds=output&last=1`, context);
    await until(() => client.seen.length === 1, "the first event");
    await first.runtime.worker("w").stdout("1");
    await until(() => client.seen.length === 2, "the second event");
    await first.server.close();
    await until(() => client.ends.length === 1, "the end");

    // The log outlives the runtime that the server was of.
    const second = await serve({ log }, context.onTestFinished);
    proxy.target(second.server.address.port);
    for (const text of ["2", "3", "4"]) await second.runtime.worker("w").stdout(text);
    await until(() => client.seen.length === 5, "what was missed");
    await second.runtime.worker("w").stdout("5");
    await until(() => client.seen.length === 6, "what is live");
    expect(client.seen).toEqual(["0", "1", "2", "3", "4", "5"]);
    expect(client.ends).toEqual(["serverClosing"]);
    expect(client.opens()).toBe(2);
  });

  it("is told what it lost, and stops", async (context) => {
    const log = new MemoryLog({ retention: { workerEvents: 5 } });
    const first = await serve({ log }, context.onTestFinished);
    // Keeps the address while there is no server.
    const proxy = await startTcpProxy(first.server.address.port, context.onTestFinished);
    await first.runtime.worker("w").stdout("0");
    const client = follow(Source, `${proxy.url}/v1/workers/w/events?kinds=output`, context);
    await until(() => client.seen.length === 1, "the first event");
    await first.server.close();
    await until(() => client.ends.length === 1, "the end");
    const second = await serve({ log }, context.onTestFinished);
    proxy.target(second.server.address.port);
    for (let i = 0; i < 20; i++) await second.runtime.worker("w").stdout(`${i}`);
    await until(() => client.ends.length === 2, "the diagnostic");
    expect(client.ends).toEqual(["serverClosing", "cursorExpired"]);
    // Asked again with the closing cursor, the server answers 204.
    await until(() => client.isClosed(), "the client to stop");
    expect(client.seen).toEqual(["0"]);
  });

  it("stops at the end of a worker", async (context) => {
    const { server, runtime } = await serve({}, context.onTestFinished);
    await runtime.worker("w").stdout("only");
    await runtime.worker("w").end({});
    const client = follow(Source, `${server.url}/v1/workers/w/events?kinds=output`, context);
    await until(() => client.isClosed(), "the client to stop");
    expect([client.seen, client.ends]).toEqual([["only"], ["streamEnded"]]);
  });
});
