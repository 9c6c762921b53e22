import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { limits } from "../../src/base/limits.ts";
import { pendingEvent } from "../../src/events/stored.ts";
import type { EventBlock } from "../../src/log/block.ts";
import type { WireForm } from "../../src/stream/form.ts";
import { CreditSink, type NumberFrame, numberForm } from "./number-form.ts";
import { TailWorld, wholeLog } from "./world.ts";

/** Tells a log of what happened, in order, of its frames. */
class NotingSink extends CreditSink {
  readonly #name: string;
  readonly #notes: Note[];

  constructor(name: string, notes: Note[]) {
    super();
    this.#name = name;
    this.#notes = notes;
  }

  override write(frame: NumberFrame): boolean {
    if ("sequences" in frame) this.#notes.push({ who: this.#name, sequences: frame.sequences });
    return super.write(frame);
  }
}

interface Note {
  readonly who: string;
  readonly sequences: readonly number[];
}

class PaceWorld extends TailWorld {
  readonly notes: Note[] = [];

  /** A form that takes time for every event of a pass, or of the channel. */
  form(name: string, msPerEvent: number): WireForm<EventBlock, NumberFrame> {
    const form = numberForm(name, 100);
    return {
      ...form,
      events: (runs, through) => {
        const frame = form.events(runs, through);
        if ("sequences" in frame) this.clock.advance(frame.sequences.length * msPerEvent);
        return frame;
      },
    };
  }

  async join(
    name: string,
    form: WireForm<EventBlock, NumberFrame>,
    start: "earliest" | "latest",
    reader = new AbortController(),
  ): Promise<CreditSink> {
    const sink = new NotingSink(name, this.notes);
    sink.watch = await this.tail.open({ ...wholeLog, start: { kind: start } }, form, sink, reader.signal);
    return sink;
  }

  sizesOf(name: string): number[] {
    return this.notes.filter(({ who }) => who === name).map(({ sequences }) => sequences.length);
  }
}

async function filled(count: number): Promise<PaceWorld> {
  const world = new PaceWorld();
  for (let i = 0; i < count; i += 1_000) await world.publish("a", Math.min(1_000, count - i));
  await world.rest();
  return world;
}

/** Lets a replay go on, and events be published meanwhile, until `sink` has `count` of them. */
async function until(
  sink: CreditSink,
  count: number,
  each: () => Promise<void> = async () => undefined,
): Promise<void> {
  for (let i = 0; i < 5_000 && sink.sequences.length < count; i++) {
    await each();
    await turn();
  }
  expect(sink.sequences.slice(0, count)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
}

test("with nobody live, a pass is as large as it may be, whatever it takes", async () => {
  const world = await filled(10_000);
  const sink = await world.join("replay", world.form("slow", 0.01), "earliest");
  await until(sink, 8_192);
  expect(world.sizesOf("replay").slice(0, 8)).toEqual(new Array(8).fill(limits.catchUpPassEvents / 2));
});

test("while somebody is live, a pass has the events that its form encodes in time", async () => {
  const world = await filled(20_000);
  await world.join("live", numberForm("quick", 100), "latest");
  await world.rest();
  // 128 take half of the time, and 256 all of it.
  const cost = limits.catchUpLivePassMs / 256;
  const sink = await world.join("replay", world.form("slow", cost), "earliest");
  await until(sink, 16_384);
  const sizes = world.sizesOf("replay");
  expect(sizes[0]).toBe(limits.catchUpLivePassEvents);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(256);
  expect(sizes.filter((size) => size >= 128).length).toBeGreaterThan(50);
});

test("a form that is quick has large passes also while somebody is live, and a very slow one has some events", async () => {
  const world = await filled(20_000);
  await world.join("live", numberForm("live", 100), "latest");
  await world.rest();
  const [quick, slow] = [world.form("quick", 0), world.form("very slow", 1)];
  const [quickSink, slowSink] = [
    await world.join("quick", quick, "earliest"),
    await world.join("slow", slow, "earliest"),
  ];
  await until(quickSink, 10_000);
  await until(slowSink, 2_000);
  expect(Math.max(...world.sizesOf("quick"))).toBe(limits.catchUpPassEvents / 2);
  expect(Math.max(...world.sizesOf("slow"))).toBe(limits.catchUpLivePassEvents);
});

test("passes are large again once nobody is live any more", async () => {
  const world = await filled(20_000);
  const [first, second] = [new AbortController(), new AbortController()];
  await world.join("live", numberForm("live", 100), "latest", first);
  await world.join("live", numberForm("live", 100), "latest", second);
  await world.rest();
  const sink = await world.join("replay", world.form("slow", 1), "earliest");
  await until(sink, 1_000);
  first.abort();
  await until(sink, 2_000);
  expect(Math.max(...world.sizesOf("replay"))).toBe(limits.catchUpLivePassEvents);
  second.abort();
  await until(sink, 16_384);
  expect(world.sizesOf("replay").slice(-5)).toContain(limits.catchUpPassEvents / 2);
});

test("large events make passes of fewer bytes while somebody is live", async () => {
  for (const live of [false, true]) {
    const world = new PaceWorld();
    const data = new Uint8Array(48 * 1024);
    const event = pendingEvent(create(NewEventSchema, { workerId: "a", payload: { case: "output", value: { data } } }));
    for (let i = 0; i < 10; i++) await world.log.append({ events: new Array(10).fill(event) });
    if (live) await world.join("live", numberForm("live", 100), "latest");
    await world.rest();
    const sink = await world.join("replay", numberForm("replay", 100), "earliest");
    await until(sink, 80);
    const most = Math.floor((live ? limits.catchUpLivePassBytes : limits.catchUpPassBytes) / data.length);
    expect(Math.max(...world.sizesOf("replay").slice(0, 8))).toBe(most);
  }
});

test("what is published while others catch up reaches a live watch after a pass or two, however many they are", async () => {
  const world = await filled(20_000);
  const live = await world.join("live", numberForm("live", 100), "latest");
  await world.rest();
  const readers: CreditSink[] = [];
  // Each has a form of its own: nothing is shared, and every pass is read and encoded.
  for (let i = 0; i < 8; i++) readers.push(await world.join("replay", world.form(`replay ${i}`, 0.001), "earliest"));
  let published = 20_000;
  const waited: number[] = [];
  await until(readers[7] as CreditSink, 20_000, async () => {
    const seen = live.sequences.length;
    const before = world.sizesOf("replay").length;
    world.clock.advance(limits.coalesceMs);
    await world.publish("a");
    published++;
    for (let i = 0; i < 20 && live.sequences.length === seen; i++) await turn();
    waited.push(world.sizesOf("replay").length - before);
  });
  expect(live.sequences).toEqual(Array.from({ length: published - 20_000 }, (_, i) => 20_001 + i));
  expect(waited.length).toBeGreaterThan(20);
  expect(Math.max(...waited)).toBeLessThanOrEqual(2);
});
