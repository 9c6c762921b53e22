import { Code } from "@connectrpc/connect";
import { type Backoff, fullJitter } from "../base/backoff.ts";
import { TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { connectionFailed, type Failure } from "./failures.ts";

/**
 * When a watch connects, waits, gives a connection up and ends: a function of state, event and time, without socket,
 * timer or chance of its own, so that every interleaving can be tested.
 */
export interface WatchState {
  readonly phase: "idle" | "connecting" | "open" | "waiting" | "ended";
  /** Number of the newest connection. What an earlier one still says is not heard. */
  readonly connection: number;
  /** Position after what was received; undefined: nothing yet, so the watch begins where the caller said. */
  readonly cursor: string | undefined;
  /** Failures since something last got through, or a connection lasted. */
  readonly attempt: number;
  /** When the connection was opened. */
  readonly openedMs: number;
  /** Silence, in milliseconds, after which the server sends a bookmark. */
  readonly heartbeatMs: number;
  /** When the connection was last heard. */
  readonly heardMs: number;
  /** Whether the consumer is behind, so that nothing is read and silence means nothing. */
  readonly paused: boolean;
  /** When the timer fires; undefined: it is not armed. */
  readonly timerMs: number | undefined;
}

export type WatchInput =
  | { readonly kind: "start"; readonly cursor: string | undefined }
  | { readonly kind: "opened"; readonly connection: number; readonly cursor: string; readonly heartbeatMs: number }
  /** Another frame. `progress`: it shows that the connection is good for something. */
  | {
      readonly kind: "received";
      readonly connection: number;
      readonly cursor: string | undefined;
      readonly progress: boolean;
    }
  | { readonly kind: "paused"; readonly connection: number }
  | { readonly kind: "resumed"; readonly connection: number }
  /** `cursor`: where the server says to come back. `random` is in [0, 1). */
  | {
      readonly kind: "failed";
      readonly connection: number;
      readonly failure: Failure;
      readonly cursor?: string;
      readonly random: number;
    }
  | { readonly kind: "timer"; readonly random: number }
  /** A terminal reason, or without `error` the end of the scope. */
  | { readonly kind: "ended"; readonly connection: number; readonly error: TailraceError | undefined }
  /** The consumer leaves. */
  | { readonly kind: "close" };

export type WatchCommand =
  | { readonly kind: "connect"; readonly connection: number; readonly cursor: string | undefined }
  /** `dead`: it did not answer, so nothing that it shares with the next connection can be trusted. */
  | { readonly kind: "disconnect"; readonly dead: boolean }
  | { readonly kind: "arm"; readonly delayMs: number }
  | { readonly kind: "disarm" }
  | { readonly kind: "reconnecting"; readonly attempt: number; readonly delayMs: number; readonly error: TailraceError }
  | { readonly kind: "finish"; readonly error: TailraceError | undefined };

export interface WatchSettings {
  readonly backoff: Backoff;
  /** Failures in a row after which the watch gives up. */
  readonly maxAttempts: number;
  /** Milliseconds from connecting to the first frame. */
  readonly connectTimeoutMs: number;
}

export interface WatchStep {
  readonly state: WatchState;
  readonly commands: readonly WatchCommand[];
}

export const initialWatchState: WatchState = {
  phase: "idle",
  connection: 0,
  cursor: undefined,
  attempt: 0,
  openedMs: 0,
  heartbeatMs: limits.defaultHeartbeatMs,
  heardMs: 0,
  paused: false,
  timerMs: undefined,
};

/** A connection is dead after this many heartbeats of silence: two may be lost or late, a third is on its way. */
export const missedHeartbeats = 2.5;

const nothing: readonly WatchCommand[] = [];

/** What follows from an input at a time (monotonic milliseconds). */
export function stepWatch(state: WatchState, input: WatchInput, nowMs: number, settings: WatchSettings): WatchStep {
  if (state.phase === "ended") return { state, commands: nothing };
  if ("connection" in input && (input.connection !== state.connection || state.phase === "waiting")) {
    return { state, commands: nothing };
  }
  switch (input.kind) {
    case "start":
      if (state.phase !== "idle") return { state, commands: nothing };
      return connect({ ...state, cursor: input.cursor }, nowMs, settings);
    case "opened":
      return listen(
        {
          ...state,
          phase: "open",
          cursor: input.cursor === "" ? state.cursor : input.cursor,
          heartbeatMs: input.heartbeatMs,
          openedMs: nowMs,
          heardMs: nowMs,
        },
        nowMs,
      );
    case "received":
      return {
        state: {
          ...state,
          cursor: input.cursor ?? state.cursor,
          attempt: input.progress ? 0 : state.attempt,
          heardMs: nowMs,
        },
        commands: nothing,
      };
    case "paused":
      return { state: { ...state, paused: true }, commands: nothing };
    case "resumed": {
      const resumed = { ...state, paused: false, heardMs: nowMs };
      return state.timerMs === undefined ? listen(resumed, nowMs) : { state: resumed, commands: nothing };
    }
    case "failed":
      return fail(
        { ...state, cursor: input.cursor ?? state.cursor },
        input.failure,
        false,
        input.random,
        nowMs,
        settings,
      );
    case "timer":
      return onTimer({ ...state, timerMs: undefined }, input.random, nowMs, settings);
    case "ended":
      return finish(state, input.error);
    case "close":
      return finish(state, undefined);
  }
}

function connect(state: WatchState, nowMs: number, settings: WatchSettings): WatchStep {
  const connection = state.connection + 1;
  return {
    state: {
      ...state,
      phase: "connecting",
      connection,
      paused: false,
      heardMs: nowMs,
      timerMs: nowMs + settings.connectTimeoutMs,
    },
    commands: [
      { kind: "connect", connection, cursor: state.cursor },
      { kind: "arm", delayMs: settings.connectTimeoutMs },
    ],
  };
}

/** Waits for the next frame. The timer is set again when it fires, not with every frame: frames are many, firings few. */
function listen(state: WatchState, nowMs: number): WatchStep {
  const deadMs = state.heardMs + state.heartbeatMs * missedHeartbeats;
  return { state: { ...state, timerMs: deadMs }, commands: [{ kind: "arm", delayMs: deadMs - nowMs }] };
}

function onTimer(state: WatchState, random: number, nowMs: number, settings: WatchSettings): WatchStep {
  switch (state.phase) {
    case "waiting":
      return connect(state, nowMs, settings);
    case "connecting":
      return fail(state, { error: silent("did not answer in time") }, true, random, nowMs, settings);
    case "open":
      if (state.paused) return { state, commands: nothing };
      if (nowMs < state.heardMs + state.heartbeatMs * missedHeartbeats) return listen(state, nowMs);
      return fail(state, { error: silent("missed its heartbeats") }, true, random, nowMs, settings);
    default:
      return { state, commands: nothing };
  }
}

function fail(
  state: WatchState,
  failure: Failure,
  dead: boolean,
  random: number,
  nowMs: number,
  settings: WatchSettings,
): WatchStep {
  // A proxy may cut connections sooner than a quiet server says anything on them.
  const lasted = state.phase === "open" && nowMs - state.openedMs >= limits.steadyConnectionMs;
  const attempt = lasted ? 1 : state.attempt + 1;
  if (attempt >= settings.maxAttempts) return finish({ ...state, attempt }, givenUp(failure.error, attempt));
  // What a server asks for is the least; the jitter on top keeps its clients from coming back as one.
  const asked = Math.min(failure.retryAfterMs ?? 0, limits.maxRetryAfterMs);
  const delayMs = asked + fullJitter(asked > 0 ? 1 : attempt, settings.backoff, random);
  return {
    state: { ...state, phase: "waiting", attempt, paused: false, timerMs: nowMs + delayMs },
    commands: [
      { kind: "disconnect", dead },
      { kind: "reconnecting", attempt, delayMs, error: failure.error },
      { kind: "arm", delayMs },
    ],
  };
}

function finish(state: WatchState, error: TailraceError | undefined): WatchStep {
  return {
    state: { ...state, phase: "ended", timerMs: undefined },
    commands: [{ kind: "disarm" }, { kind: "disconnect", dead: false }, { kind: "finish", error }],
  };
}

function silent(what: string): TailraceError {
  return connectionFailed(Code.DeadlineExceeded, 1, `it ${what}`);
}

function givenUp(error: TailraceError, attempts: number): TailraceError {
  if (error.reason !== "connection_failed") return error;
  const { code } = error.details as { code: string };
  return new TailraceError("connection_failed", { code, attempts }, error.message, { cause: error.cause ?? error });
}
