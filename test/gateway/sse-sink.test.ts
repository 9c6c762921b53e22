import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/base/clock.ts";
import { streamEnded } from "../../src/events/diagnostics.ts";
import type { HttpResponse } from "../../src/gateway/http.ts";
import { SseSink } from "../../src/gateway/sse-sink.ts";

/** A response whose socket takes `room` bytes. */
class Response extends EventEmitter {
  destroyed = false;
  readonly socket = null;
  readonly heads: number[] = [];
  text = "";
  room = Number.POSITIVE_INFINITY;
  ended = false;

  writeHead(status: number): this {
    this.heads.push(status);
    return this;
  }

  flushHeaders(): void {
    this.text += "[flushed]";
  }

  write(bytes: Uint8Array): boolean {
    this.text += Buffer.from(bytes).toString();
    this.room -= bytes.length;
    return this.room > 0;
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

function create(response: Response) {
  const clock = new ManualClock();
  return { clock, sink: new SseSink({ response: response as unknown as HttpResponse, clock, stallTimeoutMs: 1_000 }) };
}

const frame = (text: string) => Buffer.from(text);

describe("the sink of an event stream", () => {
  it("sends nothing before the first frame, so that a refusal can have a status", () => {
    const response = new Response();
    const { sink } = create(response);
    expect(response.heads).toEqual([]);
    sink.write(frame("a"));
    sink.write(frame("b"));
    expect(response.heads).toEqual([200]);
    expect(response.text).toBe("[flushed]ab");
  });

  it("does not lose a drain that comes before it knows its watch", () => {
    const response = new Response();
    response.room = 1;
    const { sink } = create(response);
    expect(sink.write(frame("opened"))).toBe(false);
    response.emit("drain");
    let resumed = 0;
    sink.attach({ resume: () => resumed++ });
    expect(resumed).toBe(1);
    response.room = 0;
    sink.write(frame("x"));
    response.emit("drain");
    expect(resumed).toBe(2);
  });

  it("tells its watch that the reader left, also before there is one", () => {
    const response = new Response();
    const { sink, clock } = create(response);
    response.destroy();
    expect(sink.signal.aborted).toBe(true);
    sink.write(frame("late"));
    sink.end(undefined);
    expect(response.heads).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it("ends after a terminal diagnostic, and breaks off without one", () => {
    const told = new Response();
    const first = create(told).sink;
    first.write(frame("last"));
    first.end(streamEnded({}, "over", ""));
    expect([told.ended, told.destroyed]).toEqual([true, false]);

    const cut = new Response();
    const second = create(cut).sink;
    second.write(frame("some"));
    second.end(undefined);
    expect([cut.ended, cut.destroyed]).toEqual([false, true]);
  });
});
