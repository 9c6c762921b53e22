import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { Reason, TailraceError } from "../../src/base/errors.ts";
import { createPublisher } from "../../src/client/index.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { refusal, say, started, texts } from "./producing-server.ts";

describe("publishing", () => {
  it("commits in the order of the calls, and answers each with its own sequences", async () => {
    const { publisher, log, requests } = await started();
    const first = publisher.publish(say("a"));
    const second = publisher.publish([say("b"), say("c")]);
    expect(await first).toEqual({ cursor: "c3", firstSequence: 1n, lastSequence: 1n });
    expect(await second).toEqual({ cursor: "c3", firstSequence: 2n, lastSequence: 3n });
    expect(await publisher.publish(say("d"))).toMatchObject({ firstSequence: 4n });
    expect(log).toEqual(["a", "b", "c", "d"]);
    // Calls of one turn share a request, and the count goes on from one to the next.
    expect(requests.map((request) => request.firstProducerSequence)).toEqual([1n, 4n]);
    expect(new Set(requests.map((request) => request.producerId)).size).toBe(1);
    await publisher.close();
  });

  it("counts from the end of a request before whose events the server put others", async () => {
    const { publisher } = await started({}, { added: 2 });
    const receipts = [publisher.publish(say("a")), publisher.publish([say("b"), say("c")])];
    expect(await Promise.all(receipts)).toEqual([
      { cursor: "c5", firstSequence: 1n, lastSequence: 3n },
      { cursor: "c5", firstSequence: 4n, lastSequence: 5n },
    ]);
    await publisher.close();
  });

  it("has one request on its way, and puts what comes meanwhile into the next", async () => {
    let most = 0;
    let running = 0;
    const { publisher, log, requests } = await started(
      {},
      {
        async before() {
          most = Math.max(most, ++running);
          await new Promise((resolve) => setImmediate(resolve));
          running--;
        },
      },
    );
    const receipts: Promise<unknown>[] = [];
    for (const text of texts(2_000)) {
      receipts.push(publisher.publish(say(text)));
      if (receipts.length % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await publisher.close();
    await Promise.all(receipts);
    expect(log).toEqual(texts(2_000));
    expect(most).toBe(1);
    expect(requests.length).toBeLessThan(25);
  });

  it("commits once though answers are lost and connections cut", async () => {
    const { server, log, clock, requests, ...rest } = await started({}, {});
    await rest.publisher.close();
    const proxy = await startTcpProxy(server.port);
    const publisher = createPublisher({
      baseUrl: proxy.url,
      clock,
      backoff: { random: () => 0 },
      onRetry: ({ delayMs }) => queueMicrotask(() => clock.advance(delayMs)),
    });
    for (const [index, text] of texts(30).entries()) {
      // The request passes and its answer is cut, as early as in its first byte.
      if (index % 3 === 0) proxy.cutAfter(index);
      await publisher.publish(say(text));
    }
    expect(log).toEqual(texts(30));
    expect(requests.length).toBe(40);
    await publisher.close();
  });

  it.each<[Reason, object, number]>([
    ["log_unavailable", { sinceMs: 1, retryAfterMs: 2_000 }, 2_125],
    ["server_closing", { retryAfterMs: 700 }, 825],
    ["limit_exceeded", { limit: "maxPendingAppendBytes", maximum: 1, retryAfterMs: 50 }, 175],
    ["internal", { incidentId: "i" }, 125],
  ])("tries again after %s, when the server asks for it", async (reason, details, delayMs) => {
    const { publisher, log, retries } = await started(
      {},
      {
        after(_request, attempt) {
          if (attempt === 1) throw refusal(reason, details as never);
        },
      },
    );
    await publisher.publish(say("a"));
    expect(retries).toEqual([delayMs]);
    expect(log).toEqual(["a"]);
    await publisher.close();
  });

  it("refuses only the call that is wrong, not those that shared its request", async () => {
    const { publisher, log } = await started(
      {},
      {
        before(request) {
          const index = request.events.findIndex((event) => event.workerId === "");
          if (index >= 0)
            throw refusal("invalid_request", { field: `events[${index}].worker_id`, description: "empty" });
        },
      },
    );
    const good = publisher.publish(say("a"));
    const bad = publisher.publish([say("b"), { ...say("c"), workerId: "" }]);
    const after = publisher.publish(say("d"));
    await good;
    await expect(bad).rejects.toMatchObject({ reason: "invalid_request", details: { field: "events[1].worker_id" } });
    expect(await after).toMatchObject({ firstSequence: 2n });
    expect(log).toEqual(["a", "d"]);
    await publisher.close();
  });

  it("becomes another producer when the server has forgotten it", async () => {
    const { publisher, log, producers } = await started();
    await publisher.publish(say("a"));
    producers.clear();
    expect(await publisher.publish(say("b"))).toMatchObject({ firstSequence: 2n });
    expect(log).toEqual(["a", "b"]);
    await publisher.close();
  });

  it("does not risk a repeat when it was forgotten between two tries", async () => {
    const { publisher, log, producers } = await started(
      {},
      {
        after(_request, attempt) {
          if (attempt !== 2) return;
          producers.clear();
          throw new ConnectError("the answer is lost", Code.Unavailable);
        },
      },
    );
    await publisher.publish(say("a"));
    await expect(publisher.publish(say("b"))).rejects.toMatchObject({ reason: "producer_unknown" });
    await publisher.publish(say("c"));
    expect(log).toEqual(["a", "b", "c"]);
    await publisher.close();
  });

  it("gives up after maxAttempts, and what comes next is no repeat of what may have been committed", async () => {
    let broken = true;
    const { publisher, log } = await started(
      { backoff: { maxAttempts: 2, random: () => 0 } },
      {
        after() {
          if (broken) throw new ConnectError("the answer is lost", Code.Unavailable);
        },
      },
    );
    await expect(publisher.publish(say("a"))).rejects.toMatchObject({ reason: "connection_failed" });
    broken = false;
    await publisher.publish(say("b"));
    expect(log).toEqual(["a", "b"]);
    await publisher.close();
  });

  it("stops at a refusal that trying again does not help", async () => {
    const { publisher, requests } = await started(
      {},
      {
        before() {
          throw refusal("job_ended", { jobId: "j", state: "cancelled" });
        },
      },
    );
    await expect(publisher.publish(say("a"))).rejects.toMatchObject({
      reason: "job_ended",
      details: { jobId: "j", state: "cancelled" },
    });
    expect(requests).toHaveLength(1);
    await publisher.close();
  });

  it("gives up a server that takes requests and never answers", async () => {
    const { server, log, ...rest } = await started();
    await rest.publisher.close();
    const proxy = await startTcpProxy(server.port);
    proxy.blackhole();
    const leave = new AbortController();
    const errors: TailraceError[] = [];
    const publisher = createPublisher({
      baseUrl: proxy.url,
      httpVersion: "2",
      requestTimeoutMs: 100,
      backoff: { random: () => 0 },
      onRetry({ error }) {
        errors.push(error);
        // From here on the dead connection would pass a request on, and a new one does not.
        proxy.refuse();
        if (errors.length === 2) leave.abort();
      },
      signal: leave.signal,
    });
    await expect(publisher.publish(say("a"))).rejects.toMatchObject({ reason: "connection_failed" });
    expect(errors[0]?.details).toMatchObject({ code: "deadline_exceeded" });
    expect(proxy.accepted).toBe(2);
    expect(log).toEqual([]);
    await publisher.close();
  });
});
