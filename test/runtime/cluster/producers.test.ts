import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { limits } from "../../../src/base/limits.ts";
import { producerPrefix } from "../../../src/runtime/producers.ts";
import { setLimit } from "../../conformance/set-limit.ts";
import { batch, customEvents } from "../support.ts";
import { type Server, serversOf } from "./servers.ts";

const produced = (producerId: string, first: number, count = 1) =>
  batch({ events: customEvents("a", count, first), producerId, firstProducerSequence: BigInt(first) });

describe("producers", () => {
  test.each(["ahead", "behind"])("are remembered for as long where the clock of a server is %s", async (where) => {
    const { servers, stream, clock, open, done } = await serversOf(1);
    const [one] = servers;
    const wrongByMs = (where === "ahead" ? 2 : -2) * limits.producerMemoryMs;
    const wrong = open(new ManualClock(clock.now() + wrongByMs));
    await stream.until();
    const publish = ({ runtime }: Pick<Server, "runtime">, id: string) => done(runtime.publishEvents(produced(id, 1)));
    await publish(one, "p");
    await publish(wrong, "q");
    for (const server of [one, wrong]) {
      for (const id of ["p", "q"]) expect(await publish(server, id)).toMatchObject({ duplicate: true });
    }
    // The log's time goes on with what is appended, also if that is a beat.
    clock.advance(limits.producerMemoryMs + 1);
    await stream.until();
    await publish(wrong, "r");
    for (const id of ["p", "q"]) expect(one.log.state(`${producerPrefix}${id}`)).toBeUndefined();
    expect(await publish(wrong, "p")).toMatchObject({ duplicate: false });
  });

  test("go on at a server that has not heard yet of what another one acknowledged", async () => {
    const { servers, stream, done } = await serversOf(2);
    const [one, other] = servers;
    const answered = one.runtime.publishEvents(produced("p", 1, 2));
    // Only the first one hears of it.
    let isAnswered = false;
    void answered.then(() => {
      isAnswered = true;
    });
    while (!isAnswered) {
      stream.step(one.log);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(other.log.bounds({ kind: "runtime" }).head.sequence).toBeLessThan(
      one.log.bounds({ kind: "runtime" }).head.sequence,
    );
    const first = await answered;
    expect(await done(other.runtime.publishEvents(produced("p", 3)))).toMatchObject({ duplicate: false });
    expect(await done(other.runtime.publishEvents(produced("p", 1, 2)))).toEqual({ ...first, duplicate: true });
    await expect(done(other.runtime.publishEvents(produced("p", 7)))).rejects.toMatchObject({
      reason: "producer_conflict",
      details: { expectedProducerSequence: 4 },
    });
    await expect(done(one.runtime.publishEvents(produced("q", 7)))).rejects.toMatchObject({
      reason: "producer_unknown",
    });
  });

  test("of all servers together are bounded, and those used longest ago are forgotten, whoever they published to", async () => {
    setLimit("maxProducers", 3);
    const { servers, done, stream } = await serversOf(2);
    const known = () => [...servers[0].log.stateEntries("producer/")].map(([key]) => key.slice("producer/".length));
    for (const [i, id] of ["a", "b", "c"].entries())
      await done((servers[i % 2] as Server).runtime.publishEvents(produced(id, 1)));
    await done(servers[1].runtime.publishEvents(produced("a", 2)));
    await done(servers[0].runtime.publishEvents(produced("d", 1)));
    expect(known().sort()).toEqual(["a", "c", "d"]);
    // Both want to forget the same one at once.
    await done(
      Promise.all([
        servers[0].runtime.publishEvents(produced("e", 1)),
        servers[1].runtime.publishEvents(produced("f", 1)),
      ]),
    );
    expect(known().sort()).toEqual(["d", "e", "f"]);
    await done(
      Promise.all(
        servers
          .slice(0, 2)
          .flatMap(({ runtime }, i) => [1, 2, 3, 4].map((n) => runtime.publishEvents(produced(`${i}${n}`, 1)))),
      ),
    );
    await done(servers[0].runtime.publishEvents(produced("last", 1)));
    expect(known()).toHaveLength(3);
    expect(known()).toContain("last");
    await stream.until();
  });
});
