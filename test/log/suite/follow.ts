import { describe, expect, test } from "vitest";
import type { LogHealth } from "../../../src/log/contract.ts";
import { readResult, resultBytes } from "../../../src/log/state-put.ts";
import { events, type Implementation, seenOf } from "../harness.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

export function followSuite({ create }: Implementation): void {
  describe("following", () => {
    test("who follows the state hears of each put under the prefix, in order, once it can be read and before the block", async () => {
      const log = await create().open();
      const heard: string[] = [];
      const listen = (name: string, prefix: string) =>
        log.subscribeState(prefix, (key, value) => {
          expect(log.state(key)).toEqual(value);
          heard.push(`${name} ${key}=${value === undefined ? "-" : new TextDecoder().decode(value)}`);
        });
      const stopAll = listen("all", "");
      listen("p", "p/");
      const twice = listen("p", "p/");
      log.subscribe((block) => heard.push(`block ${seenOf(block).map(({ text }) => text)}`));
      await log.append({
        events: events("a", 2),
        state: new Map([
          ["p/1", bytes("one")],
          ["q/1", bytes("other")],
        ]),
      });
      expect(heard.splice(0)).toEqual(["all p/1=one", "all q/1=other", "p p/1=one", "p p/1=one", "block a:1,a:2"]);
      twice();
      await log.append({ events: events("a", 1, 3), state: new Map([["p/1", bytes("two")]]) });
      await log.append({ events: [], state: new Map([["p/1", null]]) });
      await log.append({ events: [], state: new Map([["p/2", bytes("")]]) });
      await log.append({ events: events("a", 1, 4) });
      const ofOne = ["p p/1=two", "block a:3", "p p/1=-", "p p/2=", "block a:4"];
      expect(heard.filter((line) => !line.startsWith("all "))).toEqual(ofOne);
      heard.splice(0);
      // Of what is committed together the last counts.
      await Promise.all(
        ["one", "two", "three"].map((text) => log.append({ events: [], state: new Map([["p/3", bytes(text)]]) })),
      );
      expect(heard.at(-1)).toBe("p p/3=three");
      heard.splice(0);
      stopAll();
      await log.append({ events: [], state: new Map([["q/1", null]]) });
      expect(heard).toEqual([]);
      await log.close();
    });

    test("what a put says of where its batch went is there for who follows the state", async () => {
      const log = await create().open();
      const heard: (Uint8Array | undefined)[] = [];
      log.subscribeState("x", (_, value) => heard.push(value));
      const put = { bytes: new Uint8Array(resultBytes), resultAt: 0 };
      const result = await log.append({ events: events("a", 3), state: new Map([["x", put]]) });
      expect(heard.map((value) => readResult(value as Uint8Array, 0))).toEqual([result]);
      await log.close();
    });

    test("who has just opened a log that nobody else has is its keeper, and nobody is told of health that stays", async () => {
      const log = await create().open();
      const told: LogHealth[] = [];
      log.subscribeHealth((health) => told.push(health));
      expect(log.isKeeper).toBe(true);
      await log.append({ events: events("a", 1) });
      expect(log.isKeeper).toBe(true);
      expect(told).toEqual([]);
      await log.close();
    });
  });
}
