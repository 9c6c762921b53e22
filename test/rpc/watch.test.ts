import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  Code,
  ConnectError,
  createClient,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import {
  EventStreamService,
  OnExpired,
  StartAt,
  type WatchEventsRequestSchema,
  type WatchEventsResponse,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { WorkerOutcome } from "../../gen/tailrace/v1/payloads_pb.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { serveRpc, transports, until } from "./serving.ts";

type Frame = WatchEventsResponse["frame"];

function clientOf(transport: Transport) {
  return createClient(EventStreamService, transport);
}

async function publish(runtime: Runtime, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await runtime.worker(`w-${i % 2}`).stdout(`line ${i}\n`);
}

/** Output events of a watch, until there are `count`; then it is cancelled, because a `break` alone cancels nothing. */
async function take(
  client: Client<typeof EventStreamService>,
  request: MessageInitShape<typeof WatchEventsRequestSchema>,
  count: number,
  options: CallOptions = {},
): Promise<Event[]> {
  const cancel = new AbortController();
  const events: Event[] = [];
  for await (const { frame } of client.watchEvents(request, { ...options, signal: cancel.signal })) {
    if (frame.case !== "events") continue;
    events.push(...frame.value.events.filter(({ payload }) => payload.case === "output"));
    if (events.length >= count) break;
  }
  cancel.abort();
  return events;
}

/** All frames up to the end, and the error that ended them. */
async function drain(frames: AsyncIterable<WatchEventsResponse>): Promise<{ frames: Frame[]; error?: ConnectError }> {
  const seen: Frame[] = [];
  try {
    for await (const { frame } of frames) seen.push(frame);
    return { frames: seen };
  } catch (error) {
    return { frames: seen, error: ConnectError.from(error) };
  }
}

function textOf(event: Event): string {
  return event.payload.case === "output" ? Buffer.from(event.payload.value.data).toString() : "";
}

function detailOf(error: ConnectError | undefined) {
  return error?.findDetails(StreamDiagnosticSchema)[0];
}

describe.each(transports)("WatchEvents over %s", (_name, transport) => {
  test("gives what was and what comes, in order", async () => {
    const serving = await serveRpc();
    await publish(serving.runtime, 0, 20);
    const watch = take(clientOf(transport(serving)), {}, 40);
    await until(() => serving.runtime.watches === 1, "the watch is open");
    await publish(serving.runtime, 20, 40);
    const events = await watch;
    expect(events.map(textOf)).toEqual(Array.from({ length: 40 }, (_, i) => `line ${i}\n`));
    await until(() => serving.runtime.watches === 0, "the watch is gone");
  });

  test("resumes after a cursor", async () => {
    const serving = await serveRpc();
    await publish(serving.runtime, 0, 10);
    const client = clientOf(transport(serving));
    const first = await take(client, {}, 4);
    const cursor = first[3]?.cursor ?? "";
    await publish(serving.runtime, 10, 12);
    const rest = await take(client, { start: { case: "cursor", value: cursor } }, 8);
    expect(rest.map(textOf)).toEqual([4, 5, 6, 7, 8, 9, 10, 11].map((i) => `line ${i}\n`));
  });

  test("says opened at once when there is nothing to say", async () => {
    const serving = await serveRpc();
    const frames = clientOf(transport(serving))
      .watchEvents({ start: { case: "startAt", value: StartAt.LATEST } })
      [Symbol.asyncIterator]();
    const first = await frames.next();
    expect(first.value?.frame.case).toBe("opened");
    await frames.return?.();
  });

  test("ends with ok when its worker ends", async () => {
    const serving = await serveRpc();
    const worker = serving.runtime.worker("w");
    await worker.stdout("x");
    const watch = drain(clientOf(transport(serving)).watchEvents({ workerIds: ["w"] }));
    await until(() => serving.runtime.watches === 1, "the watch is open");
    await worker.end({ outcome: WorkerOutcome.SUCCEEDED });
    const { frames, error } = await watch;
    expect(error).toBeUndefined();
    const last = frames.at(-1);
    expect(last?.case === "diagnostic" && last.value.reason.case).toBe("streamEnded");
  });

  test("a refused watch is one diagnostic and the same as error detail", async () => {
    const serving = await serveRpc();
    const { frames, error } = await drain(clientOf(transport(serving)).watchEvents({ workerIds: ["nobody"] }));
    expect(frames).toHaveLength(1);
    expect(error?.code).toBe(Code.NotFound);
    expect(detailOf(error)).toEqual(frames[0]?.value);
    expect(detailOf(error)?.reason).toMatchObject({ case: "workerNotFound", value: { workerId: "nobody" } });
  });

  test("a late error is the last frame and the same as error detail", async () => {
    const serving = await serveRpc();
    const watch = drain(clientOf(transport(serving)).watchEvents({}));
    await until(() => serving.runtime.watches === 1, "the watch is open");
    serving.runtime.beginClosing(1500);
    const { frames, error } = await watch;
    expect(frames[0]?.case).toBe("opened");
    expect(error?.code).toBe(Code.Unavailable);
    expect(detailOf(error)).toEqual(frames.at(-1)?.value);
    expect(detailOf(error)?.reason.case).toBe("serverClosing");
    expect(detailOf(error)?.cursor).not.toBe("");
  });

  test("a malformed cursor is typed", async () => {
    const serving = await serveRpc();
    const request = { start: { case: "cursor" as const, value: "nonsense" }, onExpired: OnExpired.CONTINUE_WITH_GAP };
    const { error } = await drain(clientOf(transport(serving)).watchEvents(request));
    expect(error?.code).toBe(Code.InvalidArgument);
    expect(detailOf(error)?.reason.case).toBe("cursorMalformed");
  });

  test("a deadline ends it", async () => {
    const serving = await serveRpc();
    const client = clientOf(transport(serving));
    // Until one is long enough on this machine for the watch to open first.
    let frames: Frame[] = [];
    for (let timeoutMs = 100; frames.length === 0; timeoutMs *= 2) {
      const ended = await drain(client.watchEvents({}, { timeoutMs }));
      expect(ended.error?.code).toBe(Code.DeadlineExceeded);
      ({ frames } = ended);
    }
    expect(frames[0]?.case).toBe("opened");
    await until(() => serving.runtime.watches === 0, "the watch is gone");
  });

  test("a deadline that passes while it opens ends it before its first frame", async () => {
    const passed = Promise.withResolvers<void>();
    const settled = Promise.withResolvers<void>();
    const serving = await serveRpc({
      change: (runtime) => {
        const openWatch = runtime.openWatch.bind(runtime);
        runtime.openWatch = async (...args) => {
          await passed.promise;
          return openWatch(...args).finally(settled.resolve);
        };
      },
    });
    const { frames, error } = await drain(clientOf(transport(serving)).watchEvents({}, { timeoutMs: 50 }));
    expect(error?.code).toBe(Code.DeadlineExceeded);
    expect(frames).toEqual([]);
    passed.resolve();
    await settled.promise;
    await until(() => serving.runtime.watches === 0, "the watch is gone");
  });

  test("a cancelled one leaves nothing behind", async () => {
    const serving = await serveRpc();
    const cancel = new AbortController();
    const watch = drain(clientOf(transport(serving)).watchEvents({}, { signal: cancel.signal }));
    await until(() => serving.runtime.watches === 1, "the watch is open");
    cancel.abort();
    const { error } = await watch;
    expect(error?.code).toBe(Code.Canceled);
    await until(() => serving.runtime.watches === 0, "the watch is gone");
  });

  test("interceptors see the request, may refuse it, and set headers", async () => {
    const seen: string[] = [];
    const interceptor: Interceptor = (next) => async (request) => {
      seen.push(request.method.name);
      if (request.header.get("x-refuse") !== null) throw new ConnectError("no", Code.PermissionDenied);
      const response = await next(request);
      response.header.set("x-seen", "yes");
      return response;
    };
    const serving = await serveRpc({ interceptors: [interceptor] });
    await publish(serving.runtime, 0, 1);
    const client = clientOf(transport(serving));
    let header: string | null = null;
    await take(client, {}, 1, {
      onHeader: (headers) => {
        header = headers.get("x-seen");
      },
    });
    expect(header).toBe("yes");
    const refused = await drain(client.watchEvents({}, { headers: { "x-refuse": "1" } }));
    expect(refused.error?.code).toBe(Code.PermissionDenied);
    expect(refused.frames).toEqual([]);
    expect(seen).toEqual(["WatchEvents", "WatchEvents"]);
  });

  test("a fault inside tells an incident id and nothing else", async () => {
    const serving = await serveRpc({
      expectFaults: true,
      change: (runtime) => {
        runtime.openWatch = () => Promise.reject(new Error("/secret/path broke"));
      },
    });
    const { frames, error } = await drain(clientOf(transport(serving)).watchEvents({}));
    expect(error?.code).toBe(Code.Internal);
    const reason = detailOf(error)?.reason;
    expect(reason?.case === "internal" && reason.value.incidentId).toMatch(/^[0-9a-f-]{36}$/);
    expect(JSON.stringify([frames.length, error?.message, detailOf(error)?.message])).not.toContain("secret");
    expect(serving.faults).toHaveLength(1);
  });
});
