import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TailraceError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import {
  initialWatchState,
  missedHeartbeats,
  stepWatch,
  type WatchCommand,
  type WatchInput,
  type WatchSettings,
  type WatchState,
} from "../../src/client/state.ts";

const settings: WatchSettings = {
  backoff: { initialMs: 200, maxMs: 5_000 },
  maxAttempts: Number.POSITIVE_INFINITY,
  connectTimeoutMs: 15_000,
};
const broken = new TailraceError("connection_failed", { code: "unavailable", attempts: 1 }, "broken");

/** What a network, a server and a consumer may do next, in any order. */
type Move =
  | { does: "open"; heartbeatMs: number }
  | { does: "receive"; advance: number; progress: boolean }
  | { does: "fail"; retryAfterMs: number | undefined; random: number; stale: boolean }
  | { does: "pause" | "resume" }
  | { does: "wait"; ms: number }
  | { does: "end"; withError: boolean }
  | { does: "close" };

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ does: fc.constant("open" as const), heartbeatMs: fc.integer({ min: 1_000, max: 60_000 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ does: fc.constant("receive" as const), advance: fc.nat(50), progress: fc.boolean() }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      does: fc.constant("fail" as const),
      retryAfterMs: fc.option(fc.nat(1_000_000), { nil: undefined }),
      random: fc.double({ min: 0, max: 0.999, noNaN: true }),
      stale: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ does: fc.constantFrom("pause" as const, "resume" as const) }) },
  { weight: 6, arbitrary: fc.record({ does: fc.constant("wait" as const), ms: fc.nat(100_000) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("end" as const), withError: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("close" as const) }) },
);

/** Runs moves against the machine with a clock and a timer of its own, and checks what must always hold. */
class Model {
  state: WatchState = initialWatchState;
  nowMs = 1_000;
  timerMs: number | undefined;
  /** Number of the connection that is open, as the commands say. */
  connected: number | undefined;
  position = 0;
  finished = 0;
  delays: number[] = [];

  input(input: WatchInput): readonly WatchCommand[] {
    const before = this.state;
    const { state, commands } = stepWatch(before, input, this.nowMs, settings);
    this.state = state;
    for (const command of commands) this.#obey(command);
    if (before.phase === "ended") expect(commands).toEqual([]);
    expect(state.timerMs).toBe(this.timerMs);
    expect(this.connected !== undefined).toBe(state.phase === "connecting" || state.phase === "open");
    // Whatever happens, something will happen next, or nothing ever: a watch never hangs without a timer.
    if (state.phase !== "idle" && state.phase !== "ended" && !state.paused) expect(this.timerMs).toBeDefined();
    return commands;
  }

  #obey(command: WatchCommand): void {
    switch (command.kind) {
      case "connect":
        expect(this.connected).toBeUndefined();
        this.connected = command.connection;
        // It resumes after everything that was received, and from nothing else.
        expect(command.cursor).toBe(this.position === 0 ? undefined : String(this.position));
        break;
      case "disconnect":
        this.connected = undefined;
        break;
      case "arm":
        expect(command.delayMs).toBeGreaterThanOrEqual(0);
        this.timerMs = this.nowMs + command.delayMs;
        break;
      case "disarm":
        this.timerMs = undefined;
        break;
      case "reconnecting":
        this.delays.push(command.delayMs);
        break;
      case "finish":
        this.finished++;
        expect(this.finished).toBe(1);
        break;
    }
  }

  play(next: Move): void {
    const connection = this.state.connection;
    switch (next.does) {
      case "open":
        if (this.state.phase !== "connecting") return;
        this.position ||= 1;
        this.input({ kind: "opened", connection, cursor: String(this.position), heartbeatMs: next.heartbeatMs });
        break;
      case "receive":
        if (this.state.phase !== "open") return;
        this.position += next.advance;
        this.input({ kind: "received", connection, cursor: String(this.position), progress: next.progress });
        if (next.progress) expect(this.state.attempt).toBe(0);
        break;
      case "fail": {
        const failure =
          next.retryAfterMs === undefined ? { error: broken } : { error: broken, retryAfterMs: next.retryAfterMs };
        const before = this.state;
        const commands = this.input({
          kind: "failed",
          connection: next.stale ? connection - 1 : connection,
          failure,
          random: next.random,
        });
        // An old connection's last words change nothing.
        if (next.stale) {
          expect(this.state).toEqual(before);
          expect(commands).toEqual([]);
        }
        break;
      }
      case "pause":
        if (this.state.phase === "open") this.input({ kind: "paused", connection });
        break;
      case "resume":
        if (this.state.phase === "open" && this.state.paused) this.input({ kind: "resumed", connection });
        break;
      case "wait":
        this.#pass(next.ms);
        break;
      case "end":
        this.input({ kind: "ended", connection, error: next.withError ? broken : undefined });
        break;
      case "close":
        this.input({ kind: "close" });
        break;
    }
  }

  #pass(ms: number): void {
    const end = this.nowMs + ms;
    while (this.timerMs !== undefined && this.timerMs <= end) {
      this.nowMs = this.timerMs;
      this.timerMs = undefined;
      const before = this.state;
      this.input({ kind: "timer", random: 0.5 });
      const silentMs = this.nowMs - before.heardMs;
      const gaveUp = before.phase === "open" && this.state.phase === "waiting";
      // A connection is given up for silence, for all of it, and never while the consumer is what is slow.
      if (before.phase === "open") {
        expect(gaveUp).toBe(!before.paused && silentMs >= before.heartbeatMs * missedHeartbeats);
      }
    }
    this.nowMs = end;
  }
}

describe("the machine of a watch", () => {
  it("keeps its promises over any course of events", () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 120 }), (moves) => {
        const model = new Model();
        model.input({ kind: "start", cursor: undefined });
        for (const next of moves) model.play(next);
      }),
      { numRuns: 2_000 },
    );
  });

  it("doubles the ceiling of its delays and draws from all of it", () => {
    const delays = (random: number) => {
      let state = stepWatch(initialWatchState, { kind: "start", cursor: undefined }, 0, settings).state;
      return Array.from({ length: 8 }, () => {
        const failed = stepWatch(
          state,
          { kind: "failed", connection: state.connection, failure: { error: broken }, random },
          0,
          settings,
        );
        state = stepWatch(failed.state, { kind: "timer", random }, 0, settings).state;
        return (failed.commands.find((command) => command.kind === "reconnecting") as { delayMs: number }).delayMs;
      });
    };
    expect(delays(0)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(delays(0.5)).toEqual([100, 200, 400, 800, 1600, 2500, 2500, 2500]);
    expect(delays(0.999).every((delay, i) => delay < Math.min(5_000, 200 * 2 ** i))).toBe(true);
  });

  it("comes back soon after each cut of a quiet connection that had lasted, and ever later after one that had not", () => {
    const delays = (openMs: number) => {
      let { state } = stepWatch(initialWatchState, { kind: "start", cursor: undefined }, 0, settings);
      return Array.from({ length: 4 }, (_, round) => {
        const nowMs = round * 100_000;
        const { connection } = state;
        ({ state } = stepWatch(
          state,
          { kind: "opened", connection, cursor: "c", heartbeatMs: 15_000 },
          nowMs,
          settings,
        ));
        const cut = { kind: "failed", connection, failure: { error: broken }, random: 0.5 } as const;
        const failed = stepWatch(state, cut, nowMs + openMs, settings);
        state = stepWatch(failed.state, { kind: "timer", random: 0.5 }, nowMs + openMs + 10_000, settings).state;
        return (failed.commands.find((command) => command.kind === "reconnecting") as { delayMs: number }).delayMs;
      });
    };
    expect(delays(limits.steadyConnectionMs)).toEqual([100, 100, 100, 100]);
    expect(delays(limits.steadyConnectionMs - 1)).toEqual([100, 200, 400, 800]);
  });

  it("waits at least as long as the server asks, but not for ever", () => {
    const delayAfter = (retryAfterMs: number, random: number) => {
      const model = new Model();
      model.input({ kind: "start", cursor: undefined });
      model.play({ does: "fail", retryAfterMs, random, stale: false });
      return model.delays[0];
    };
    expect(delayAfter(7_000, 0)).toBe(7_000);
    expect(delayAfter(7_000, 0.5)).toBe(7_100);
    expect(delayAfter(1e12, 0)).toBe(limits.maxRetryAfterMs);
  });

  it("gives up after maxAttempts failures in a row, and says how many", () => {
    const impatient = { ...settings, maxAttempts: 2 };
    let { state } = stepWatch(initialWatchState, { kind: "start", cursor: undefined }, 0, impatient);
    const failure = { error: broken };
    ({ state } = stepWatch(state, { kind: "failed", connection: 1, failure, random: 0 }, 0, impatient));
    ({ state } = stepWatch(state, { kind: "timer", random: 0 }, 0, impatient));
    const last = stepWatch(state, { kind: "failed", connection: 2, failure, random: 0 }, 0, impatient);
    const finish = last.commands.find((command) => command.kind === "finish");
    expect(finish?.error?.details).toEqual({ code: "unavailable", attempts: 2 });
    expect(last.state.phase).toBe("ended");
  });

  it("drops what a dead connection shares with the next one, and nothing after an ordinary failure", () => {
    const { state } = stepWatch(initialWatchState, { kind: "start", cursor: undefined }, 0, settings);
    const timedOut = stepWatch(state, { kind: "timer", random: 0 }, settings.connectTimeoutMs, settings);
    expect(timedOut.commands).toContainEqual({ kind: "disconnect", dead: true });
    const failed = stepWatch(
      state,
      { kind: "failed", connection: 1, failure: { error: broken }, random: 0 },
      0,
      settings,
    );
    expect(failed.commands).toContainEqual({ kind: "disconnect", dead: false });
  });
});
