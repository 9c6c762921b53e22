import { expect, test } from "vitest";
import { Lives } from "../../../../src/log/jetstream/fold/lives.ts";
import { isSameServer, parseWriter, writerName } from "../../../../src/log/jetstream/stream/writer-name.ts";
import { setLimit } from "../../../conformance/set-limit.ts";

test("what comes of a life is left out from the next one of its server on, and of no other", () => {
  const lives = new Lives();
  const isOver = (...writers: string[]) => writers.map((writer) => lives.isOver(writer));
  expect(isOver("a.0", "b.0", "a.1", "b.0", "a.0", "a.1", "a.3", "a.1", "a.2", "b.0")).toEqual([
    ...[false, false, false, false, true, false, false, true, true, false],
  ]);
  // Who has no lives has one.
  expect(isOver("c", "c", "a.b", "a.b")).toEqual([false, false, false, false]);
  const restored = new Lives();
  restored.restore(lives.entries());
  expect([restored.isOver("a.2"), restored.isOver("a.3")]).toEqual([true, false]);
});

test("of the servers that lost a connection so many are remembered, those that lost one last", () => {
  setLimit("natsRememberedServers", 2);
  const lives = new Lives();
  for (const writer of ["a.1", "b.1", "a.2", "c.1"]) expect(lives.isOver(writer)).toBe(false);
  expect(lives.size).toBe(2);
  expect(["a.1", "b.0", "c.0"].map((writer) => lives.isOver(writer))).toEqual([true, false, true]);
});

test("a writer's name says of which server it is, in which life", () => {
  for (const writer of [
    { server: "a.b", life: 0 },
    { server: "c", life: 12 },
  ]) {
    expect(parseWriter(writerName(writer))).toEqual(writer);
  }
  expect(isSameServer("a.0", "a.7")).toBe(true);
  expect(isSameServer("a.0", "b.0")).toBe(false);
  expect(isSameServer("a", "b")).toBe(false);
});
