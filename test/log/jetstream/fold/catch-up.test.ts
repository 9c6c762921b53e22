import { expect, onTestFinished, test } from "vitest";
import { ManualClock } from "../../../../src/base/clock.ts";
import { askAgainMs, catchUp } from "../../../../src/log/jetstream/fold/catch-up.ts";
import { Progress } from "../../../../src/log/jetstream/fold/progress.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { natsForFile } from "../../../support/nats.ts";
import { openTcpProxy } from "../../../support/open-tcp-proxy.ts";
import { patienceMs, until } from "../../../support/until.ts";
import { events, runtimeScope } from "../../harness.ts";
import { freshNamespace } from "../support.ts";

const nats = natsForFile();

/** A server that has folded the first of two messages, and whose questions are answered as the test says. */
function behind() {
  const listeners = new Set<(connected: boolean) => void>();
  const progress = new Progress(() => new Error("late"));
  const clock = new ManualClock();
  const answers: { resolve(newest: number): void; reject(error: Error): void }[] = [];
  let last = 1;
  let fault: Error | undefined;
  const parts = {
    link: {
      subscribe: (listener: (connected: boolean) => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    clock,
    progress,
    folded: () => last,
    newest: () => new Promise<number>((resolve, reject) => answers.push({ resolve, reject })),
    assertUsable: () => {
      if (fault !== undefined) throw fault;
    },
  };
  return {
    clock,
    answers,
    parts,
    fold: (sequence: number) => {
      last = sequence;
      progress.look();
    },
    fail: (error: Error) => {
      fault = error;
    },
    connect: (connected: boolean) => {
      for (const listener of [...listeners]) listener(connected);
    },
    isQuiet: () => listeners.size === 0 && clock.pending === 0,
  };
}

test("what comes in meanwhile is enough, although the stream does not answer", async () => {
  const server = behind();
  let isEnough = false;
  const caughtUp = catchUp(server.parts, () => isEnough);
  isEnough = true;
  server.fold(2);
  await caughtUp;
  expect(server.answers).toHaveLength(1);
  expect(server.isQuiet()).toBe(true);
});

test.each(["a new connection", "some time"])(
  "the stream is asked again after %s, and the first answer counts",
  async (what) => {
    const server = behind();
    const caughtUp = catchUp(server.parts, () => false);
    server.connect(false);
    expect(server.answers).toHaveLength(1);
    if (what === "some time") server.clock.advance(askAgainMs);
    else server.connect(true);
    expect(server.answers).toHaveLength(2);
    server.answers[1]?.resolve(2);
    server.answers[0]?.reject(new Error("timeout"));
    server.fold(2);
    await caughtUp;
    expect(server.isQuiet()).toBe(true);
  },
);

test("whoever waits hears that the log has ended, and else is late in bounded time", async () => {
  setLimit("natsReachMs", 50);
  const silent = behind();
  await expect(catchUp(silent.parts, () => false)).rejects.toThrow("late");
  expect(silent.isQuiet()).toBe(true);
  setLimit("natsReachMs", patienceMs);
  const failing = behind();
  const caughtUp = catchUp(failing.parts, () => false);
  failing.fail(new Error("ended"));
  failing.answers[0]?.reject(new Error("closed"));
  await expect(caughtUp).rejects.toThrow("ended");
  expect(failing.isQuiet()).toBe(true);
});

test("a server that was cut off while it waited comes as far as another was told", async () => {
  // As long as it takes a slow machine to connect again.
  setLimit("natsReachMs", patienceMs);
  const namespace = freshNamespace();
  const proxy = await openTcpProxy(nats().port);
  onTestFinished(() => proxy.close());
  const one = await openJetStreamLog({ servers: [nats().url], namespace });
  onTestFinished(() => one.close());
  const two = await openJetStreamLog({
    servers: [`nats://127.0.0.1:${proxy.port}`],
    namespace,
    discoverServers: false,
  });
  onTestFinished(() => two.close());
  proxy.blackhole("to client");
  // The questions are on their way before the connection is lost, and their answers are lost with it.
  const reached = two.reach(3);
  const nobodys = two.reach(4);
  await one.append({ events: events("a", 3) });
  proxy.heal();
  expect(await reached).toBe(true);
  expect(two.bounds(runtimeScope).head.sequence).toBe(3);
  expect(await nobodys).toBe(false);
  await until(() => two.health().available, "the log to be there");
});
