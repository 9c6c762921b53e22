import { create } from "@bufbuild/protobuf";
import { describe, expect, it, test } from "vitest";
import { type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { limits } from "../../src/base/limits.ts";
import { CursorCodec } from "../../src/events/cursor.ts";
import { type EventBlock, positionAfter } from "../../src/log/block.ts";
import type { EventRun, WireForm } from "../../src/stream/form.ts";
import { chunkOf } from "../../src/wire/chunk.ts";
import { createForms } from "../../src/wire/forms.ts";
import type { TextEntries } from "../../src/wire/text-entries.ts";
import { blockOf } from "./blocks.ts";

type TextForm = WireForm<TextEntries, Uint8Array>;

const names = ["sse", "json", "simpleSse"] as const;

function newForm(name: (typeof names)[number]): TextForm {
  return createForms(new CursorCodec("runtime", 1n))[name];
}

function events(count: number, letter = "x", bytes = 200): NewEvent[] {
  return Array.from({ length: count }, (_, i) =>
    create(NewEventSchema, {
      workerId: `w-${i % 3}`,
      payload: { case: "output", value: { stream: 1, data: Buffer.alloc(bytes, letter), offset: BigInt(i) } },
    }),
  );
}

function frameOf(form: TextForm, block: EventBlock, ...runs: Omit<EventRun<TextEntries>, "entries">[]): Uint8Array {
  const entries = form.encode(block, runs.length === 0);
  const wanted = runs.length === 0 ? [{ from: 0, to: block.length }] : runs;
  return form.events(
    wanted.map((run) => ({ entries, ...run })),
    positionAfter(block, block.length - 1),
  );
}

/** A pass of a replay: all events of a block in one frame, of which no other will be made. */
function pass(form: TextForm, block: EventBlock): Uint8Array {
  const frame = frameOf(form, block);
  form.release?.(form.encode(block));
  return frame;
}

/** Passes of `count` events each, with text of its own each, for more memory than may wait to be used again. */
function otherPasses(form: TextForm, count: number): Uint8Array[] {
  const leastBytes = 400 * count;
  return Array.from({ length: Math.min(26, Math.ceil(limits.spareFrameBytes / leastBytes)) }, (_, i) =>
    pass(form, blockOf(events(count, String.fromCharCode(97 + i)))),
  );
}

describe.each(names)("frames of a replay as %s", (name) => {
  it("never change before they are given back, as frames or as chunks", () => {
    const form = newForm(name);
    const given: { frame: Uint8Array; chunk: Uint8Array; text: string; cut: string }[] = [];
    for (const count of [400, 64, 120, 399, 1, 130, 1_000, 400]) {
      for (const frame of [pass(form, blockOf(events(count, "y"))), ...otherPasses(form, count)]) {
        const chunk = chunkOf(frame);
        given.push({ frame, chunk, text: textOf(frame), cut: textOf(chunk) });
      }
    }
    for (const { frame, chunk, text, cut } of given) {
      expect(textOf(frame) === text).toBe(true);
      expect(textOf(chunk) === cut).toBe(true);
    }
  });

  it("lie in memory that serves again, and hold the same text there", () => {
    const form = newForm(name);
    const memories = new Set<ArrayBufferLike>();
    const count = 40;
    // The first one learns how large they are.
    form.reuse?.(pass(form, blockOf(events(300))));
    for (let i = 0; i < count; i++) {
      const block = blockOf(events(300 - (i % 10), String.fromCharCode(97 + (i % 26))));
      const frame = frameOf(form, block);
      const entries = form.encode(block);
      expect(textOf(frame) === textOf(frameOf(newForm(name), block))).toBe(true);
      for (const { buffer } of [frame, entries.bytes]) memories.add(buffer);
      form.release?.(entries);
      form.reuse?.(frame);
    }
    // The text and the frame, which serve in turn, and what others left.
    expect(memories.size).toBeLessThan(count / 4);
  });

  it("give their memory to one other frame only", () => {
    const form = newForm(name);
    form.reuse?.(pass(form, blockOf(events(300))));
    const frame = pass(form, blockOf(events(300)));
    form.reuse?.(frame);
    form.reuse?.(frame);
    const next = otherPasses(form, 300);
    expect(next.filter(({ buffer }) => buffer === frame.buffer).length).toBeLessThanOrEqual(1);
    expect(new Set(next.map(textOf)).size).toBe(next.length);
  });
});

describe.each(names)("frames that share a block, as %s", (name) => {
  it.each([
    ["one after the other", [{ from: 0, to: 200 }], [{ from: 200, to: 400 }]],
    ["twice the same", [{ from: 0, to: 400 }], [{ from: 0, to: 400 }]],
    ["a part of it, then all", [{ from: 0, to: 0, indices: [3, 5, 390] }], [{ from: 0, to: 400 }]],
  ])("keep their text when another one is given back: %s", (_title, first, second) => {
    const form = newForm(name);
    const block = blockOf(events(400));
    const frames = [frameOf(form, block, ...first), frameOf(form, block, ...second)] as const;
    const texts = frames.map(textOf);
    form.release?.(form.encode(block));
    form.reuse?.(frames[0]);
    otherPasses(form, 400);
    expect(textOf(frames[1]) === texts[1]).toBe(true);
    otherPasses(form, 200);
    expect(textOf(frames[1]) === texts[1]).toBe(true);
  });

  it("keep their text when one is given back though the block may still be asked for more", () => {
    const form = newForm(name);
    const block = blockOf(events(400));
    const frame = frameOf(form, block, { from: 0, to: 200 });
    form.reuse?.(frame);
    otherPasses(form, 200);
    const next = frameOf(form, block, { from: 0, to: 400 });
    expect(textOf(next) === textOf(frameOf(newForm(name), block))).toBe(true);
  });
});

test("a block that is released twice gives what it took once", () => {
  const form = newForm("json");
  const block = blockOf(events(300));
  frameOf(form, block);
  const entries = form.encode(block);
  form.release?.(entries);
  form.release?.(entries);
  const blocks = ["a", "b"].map((letter) => blockOf(events(300, letter)));
  const texts = blocks.map((other) => textOf(pass(newForm("json"), other)));
  // Both are open at once.
  const open = blocks.map((other) => form.encode(other, true));
  const frames = blocks.map((other, i) =>
    form.events([{ entries: open[i] as TextEntries, from: 0, to: 300 }], positionAfter(other, 299)),
  );
  expect(frames.map((frame, i) => textOf(frame) === texts[i])).toEqual([true, true]);
});

test("events that are wanted one by one don't take the memory of a whole block", () => {
  const form = newForm("sse");
  const blocks = Array.from({ length: 20 }, () => blockOf(events(1_000)));
  for (const block of blocks) {
    const frame = frameOf(form, block, { from: 0, to: 0, indices: [7] });
    expect(frame.buffer.byteLength).toBeLessThan(64 * 1024);
  }
});

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
