import { type IncomingMessage, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import type { Readable } from "node:stream";
import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, onTestFinished, test } from "vitest";
import { WatchEventsResponseSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { envelope } from "../../src/wire/envelope.ts";
import { socketsAreFull } from "../support/until.ts";
import { type RpcServing, type RpcServingOptions, serveRpc, until } from "./serving.ts";

const path = "/tailrace.v1.EventStreamService/WatchEvents";
const emptyWatch = envelope(0, new Uint8Array(0));

/** A reader that takes bytes when it is told to, and knows what they say. */
class RawReader {
  readonly stream: Readable;
  /** What each output event said, in the order of arrival. */
  readonly texts: string[] = [];
  /** Reason of the newest diagnostic. */
  diagnostic: string | undefined;
  /** Kills the connection without a word. */
  readonly cut: () => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: Readable, cut: () => void) {
    this.stream = stream;
    this.cut = cut;
    stream.on("error", () => undefined);
    stream.on("data", (chunk: Buffer) => this.#parse(chunk));
    stream.pause();
  }

  /** Bytes that are no whole message yet. */
  get pendingBytes(): number {
    return this.#rest.length;
  }

  #parse(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 5) {
      const end = 5 + bytes.readUInt32BE(1);
      if (end > bytes.length) break;
      if (bytes[0] === 0) this.#take(bytes.subarray(5, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }

  #take(message: Buffer): void {
    const { frame } = fromBinary(WatchEventsResponseSchema, message);
    if (frame.case === "diagnostic") this.diagnostic = frame.value.reason.case;
    if (frame.case !== "events") return;
    for (const { payload } of frame.value.events) {
      if (payload.case !== "output") continue;
      this.texts.push(Buffer.from(payload.value.data).toString("latin1", 0, 12).trim());
    }
  }
}

type Open = (serving: RpcServing) => Promise<RawReader>;

const openH1: Open = async ({ h1 }) => {
  const headers = { "content-type": "application/connect+proto", "content-length": emptyWatch.length };
  const call = request(h1 + path, { method: "POST", headers, agent: false });
  onTestFinished(() => {
    call.destroy();
  });
  call.on("error", () => undefined);
  call.end(emptyWatch);
  const response = await new Promise<IncomingMessage>((resolve) => call.once("response", resolve));
  return new RawReader(response, () => response.socket.resetAndDestroy());
};

const openH2: Open = async ({ h2 }) => {
  const session = connectHttp2(h2);
  onTestFinished(() => {
    session.destroy();
  });
  session.on("error", () => undefined);
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.end(emptyWatch);
  return new RawReader(stream, () => session.destroy());
};

/** Publishes so much that no socket takes it all. Returns what each event says. */
async function flood(serving: RpcServing, kilobytes = 16_000): Promise<string[]> {
  const texts: string[] = [];
  for (let written = 0; written < kilobytes; ) {
    const events = Array.from({ length: 50 }, () => {
      const text = `event ${texts.length}`;
      texts.push(text);
      // Odd sizes, so that pieces end at every byte of a frame sooner or later.
      const size = 1000 + ((texts.length * 7919) % 18_001);
      written += size / 1024;
      return {
        workerId: "w",
        payload: { case: "output" as const, value: { data: Buffer.from(text.padEnd(size)) } },
      };
    });
    await serving.runtime.publish(events);
  }
  return texts;
}

const ways: readonly (readonly [string, Open])[] = [
  ["HTTP/1.1", openH1],
  ["HTTP/2", openH2],
];

describe.each(ways)("over %s", (_name, open) => {
  async function serveOne(options: RpcServingOptions = {}): Promise<{ serving: RpcServing; reader: RawReader }> {
    const serving = await serveRpc(options);
    const reader = await open(serving);
    await until(() => serving.runtime.watches === 1, "the watch is open");
    return { serving, reader };
  }

  test("a reader that stops and goes on gets every byte in order", async () => {
    const { serving, reader } = await serveOne();
    const texts = await flood(serving);
    // Reads a little, stops, and so on, so that writes block in the middle of frames.
    for (let i = 0; i < 15; i++) {
      reader.stream.resume();
      await new Promise((resolve) => setTimeout(resolve, 2));
      reader.stream.pause();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    reader.stream.resume();
    await until(() => reader.texts.length >= texts.length, "all events are there");
    expect(reader.texts).toEqual(texts);
    expect(reader.pendingBytes).toBe(0);
  });

  test("a blocked reader whose connection dies leaves nothing behind", async () => {
    const { serving, reader } = await serveOne();
    await flood(serving);
    await socketsAreFull();
    expect(serving.runtime.watches).toBe(1);
    reader.cut();
    await until(() => serving.runtime.watches === 0, "the watch is gone");
    await until(() => serving.sockets.size === 0, "the socket is gone");
  });

  test("a reader that is cut in the middle of a frame leaves nothing behind", async () => {
    const { serving, reader } = await serveOne();
    const flooding = flood(serving, 8_000);
    reader.stream.once("data", () => reader.cut());
    reader.stream.resume();
    await until(() => serving.runtime.watches === 0, "the watch is gone");
    await flooding;
    await until(() => serving.sockets.size === 0, "the socket is gone");
  });

  test("one that is cut in the middle of a frame that others share takes nothing from them", async () => {
    const { serving, reader } = await serveOne();
    const others = [await open(serving), await open(serving)];
    for (const { stream } of others) stream.resume();
    await until(() => serving.runtime.watches === 3, "all watches are open");
    const flooding = flood(serving, 8_000);
    reader.stream.once("data", () => reader.cut());
    reader.stream.resume();
    // And one that is cut while it replays what the others had.
    const texts = await flooding;
    const late = [await open(serving), await open(serving)];
    late[0]?.stream.once("data", () => late[0]?.cut());
    for (const { stream } of late) stream.resume();
    for (const other of [...others, late[1] as RawReader]) {
      await until(() => other.texts.length >= texts.length, "the other reader has it all");
      expect(other.texts).toEqual(texts);
    }
    await until(() => serving.runtime.watches === 3, "the watches that were cut are gone");
  });

  test("one that takes nothing for too long is cut off, and others notice nothing", async () => {
    const clock = new ManualClock();
    const { serving } = await serveOne({ clock, stallTimeoutMs: 1000 });
    const other = await open(serving);
    other.stream.resume();
    await until(() => serving.runtime.watches === 2, "both watches are open");
    const texts = await flood(serving);
    await until(() => other.texts.length >= texts.length, "the other reader has it all");
    clock.advance(999);
    expect(serving.runtime.watches).toBe(2);
    // Kernel buffers may have taken something in between, which begins the time anew.
    await until(() => {
      clock.advance(1);
      return serving.runtime.watches === 1;
    }, "the stalled watch is gone");
    await serving.runtime.worker("w").stdout("after");
    await until(() => other.texts.at(-1) === "after", "the other reader goes on");
  });

  test("closing ends a blocked reader behind everything that was written", async () => {
    const { serving, reader } = await serveOne();
    await flood(serving);
    await socketsAreFull();
    serving.runtime.beginClosing(0);
    expect(serving.runtime.watches).toBe(0);
    reader.stream.resume();
    await until(() => reader.diagnostic === "serverClosing", "the last frame is there");
    expect(reader.texts).toEqual(reader.texts.map((_, i) => `event ${i}`));
  });
});
