import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { StreamDiagnostic } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import { EventKind } from "../../../gen/tailrace/v1/event_pb.ts";
import { CancelJobRequestSchema, JobStart } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState, type JobStateChanged } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { decodeCursor } from "../../../src/events/cursor.ts";
import { JobFailure } from "../../../src/runtime/jobs/operation.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { until } from "../../support/until.ts";
import { edges, rpcEdges, sseEdges } from "../edges/index.ts";
import { ShiftedClock } from "../shifted-clock.ts";
import { type Role, Stage } from "../stage.ts";
import { reconnect, resumeFrom, type Viewer, view } from "../viewer.ts";
import { idsOf, type LogUnderTest, publishIds, serveOver } from "../world.ts";

/** A way for a job to end. */
interface JobEnd {
  readonly name: string;
  readonly state: JobState;
  readonly reason: string;
  /** Action of its last narration. */
  readonly action: string;
  readonly exitCode?: number;
  /** Begins a job that will end that way. */
  readonly begin: (runtime: Runtime) => Promise<Role>;
}

const shortly = { nanos: 30_000_000 };

async function played(runtime: Runtime): Promise<Role> {
  const role = await new Stage(runtime).submit();
  await role.say(["said"]);
  return role;
}

async function failed(runtime: Runtime, error: Error): Promise<Role> {
  const role = await played(runtime);
  await role.fail(error);
  return role;
}

async function cancelled(runtime: Runtime, role: Role): Promise<Role> {
  await runtime.cancelJob(create(CancelJobRequestSchema, { jobId: role.id }));
  return role;
}

/** Every way. Being silent for long, or saying "error", is none of them. */
const ends: readonly JobEnd[] = [
  {
    name: "that succeeds, whatever it says",
    state: JobState.SUCCEEDED,
    reason: "",
    action: "execute_complete",
    begin: async (runtime) => {
      const role = await played(runtime);
      const { job } = await role.part;
      await job.narrate("log", "error: failed", { level: "error" });
      await role.succeed();
      return role;
    },
  },
  {
    name: "that fails",
    state: JobState.FAILED,
    reason: "handler_failed",
    action: "execute_error",
    begin: (runtime) => failed(runtime, new Error("all went well")),
  },
  {
    name: "that fails with an exit code",
    state: JobState.FAILED,
    reason: "exit_code",
    action: "execute_error",
    exitCode: 3,
    begin: (runtime) => failed(runtime, new JobFailure("no", { exitCode: 3 })),
  },
  {
    name: "that is cancelled",
    state: JobState.CANCELLED,
    reason: "cancel_requested",
    action: "execute_cancelled",
    begin: async (runtime) => cancelled(runtime, await played(runtime)),
  },
  {
    name: "that is cancelled before it starts",
    state: JobState.CANCELLED,
    reason: "cancel_requested",
    action: "execute_cancelled",
    begin: async (runtime) => cancelled(runtime, await new Stage(runtime).submit({ start: JobStart.DEFERRED })),
  },
  {
    name: "that takes too long",
    state: JobState.TIMED_OUT,
    reason: "total_timeout",
    action: "execute_timeout",
    begin: (runtime) => new Stage(runtime).submit({ timeouts: { total: shortly } }),
  },
  {
    name: "that is silent for too long",
    state: JobState.TIMED_OUT,
    reason: "idle_timeout",
    action: "execute_timeout",
    begin: (runtime) => new Stage(runtime).submit({ timeouts: { idle: shortly } }),
  },
  {
    name: "that waits too long for its start",
    state: JobState.TIMED_OUT,
    reason: "queue_timeout",
    action: "execute_timeout",
    begin: async (runtime) => {
      const stage = new Stage(runtime, { concurrency: 1 });
      await (await stage.submit()).part;
      return stage.submit({ timeouts: { queue: shortly } });
    },
  },
];

/** What a diagnostic says of the end of a job. */
function endOf(diagnostic: StreamDiagnostic | undefined): JobStateChanged {
  const { reason } = diagnostic ?? {};
  if (reason?.case !== "streamEnded" || reason.value.end.case !== "job")
    throw new Error(`it ended with ${reason?.case}`);
  return reason.value.end.value;
}

/** Reads a viewer to the end, which must be that of its job. */
async function toTheEnd(viewer: Viewer): Promise<JobStateChanged> {
  expect((await viewer.end()).code ?? "ok").toBe("ok");
  return endOf(viewer.terminal);
}

/** How the watch of a job ends, for each way in which a job can. */
export function jobEndSuite(logs: LogUnderTest): void {
  describe.each(ends)("the watch of a job $name", ({ state, reason, action, exitCode, begin }) => {
    it.each(edges)("ends with that over $name, for who came before and after, and for who comes back", async (edge) => {
      // What a handler throws is reported to the operator as well.
      const { runtime, url } = await serveOver(logs, { expectFaults: reason === "handler_failed" });
      const { id, cursor } = await begin(runtime);
      const request = { jobId: id };

      const early = view(edge, url, resumeFrom(cursor, request));
      const ended = await toTheEnd(early);
      expect(ended).toMatchObject({ state, reason, operation: "play" });
      expect(ended.exitCode).toBe(exitCode);
      const [narration, last] = early.events.slice(-2).map(({ payload }) => payload);
      expect(narration).toMatchObject({ case: "narration", value: { action } });
      expect(last).toEqual({ case: "jobStateChanged", value: ended });
      const { closing, position } = decodeCursor(early.cursor);
      expect(closing).toBe(true);
      expect(position.sequence).toBeGreaterThanOrEqual(Number(early.events.at(-1)?.sequence));

      const late = view(edge, url, request);
      expect(await toTheEnd(late)).toEqual(ended);
      expect(late.events).toEqual(early.events);

      const atTheEnd = view(edge, url, resumeFrom(early.events.at(-1)?.cursor as string, request));
      expect(await toTheEnd(atTheEnd)).toEqual(ended);
      expect(atTheEnd.events).toEqual([]);

      const filtered = view(edge, url, { ...request, kinds: [EventKind.ALERT] });
      expect(await toTheEnd(filtered)).toEqual(ended);
      expect(filtered.events).toEqual([]);
    });
  });

  describe.each(edges)("the end of a job over $name", (edge) => {
    it("is told to live viewers, also to those who do not want the event that says it", async () => {
      const { runtime, url } = await serveOver(logs);
      const role = await new Stage(runtime).submit();
      const all = await view(edge, url, { jobId: role.id }).live();
      const few = await view(edge, url, { jobId: role.id, kinds: [EventKind.ALERT] }).live();
      await role.say(["1"]);
      await role.succeed();
      expect(await toTheEnd(few)).toEqual(await toTheEnd(all));
      expect(all.ids).toEqual(["1"]);
      expect(few.events).toEqual([]);
    });

    it("is told when nothing of the job is left", async () => {
      const clock = new ShiftedClock();
      const { runtime, url, log } = await serveOver(logs, { clock, retention: { ageMs: 60_000 } });
      const role = await new Stage(runtime).submit();
      const { cursor } = await role.say(idsOf("e", 3));
      await role.succeed();
      const request = { jobId: role.id };
      const early = view(edge, url, request);
      const ended = await toTheEnd(early);
      clock.shift(61_000);
      await publishIds(runtime, "other", ["later"]);
      expect(log.job(role.id)).toMatchObject({ retainedEvents: 0, lastOrdinal: early.events.length });

      for (const again of [request, resumeFrom(early.events.at(-1)?.cursor as string, request)]) {
        const viewer = view(edge, url, again);
        expect(await toTheEnd(viewer)).toEqual(ended);
        expect(viewer.events).toEqual([]);
      }
      const behind = view(edge, url, resumeFrom(cursor, request));
      const { detail } = await behind.end();
      // What follows the last word of the handler: a narration and the state.
      expect(detail?.reason).toMatchObject({
        case: "cursorExpired",
        value: { lostEvents: 2n, lostExact: true },
      });
    });

    it("is no longer told once the job is forgotten", async () => {
      const { runtime, url, log } = await serveOver(logs, { jobs: { maxJobs: 1 } });
      const stage = new Stage(runtime);
      const role = await stage.submit();
      await role.say(["1"]);
      await role.succeed();
      await toTheEnd(view(edge, url, { jobId: role.id }));
      // There is room for one job only.
      await stage.submit();
      await until(() => log.job(role.id) === undefined, "the job to be forgotten");
      const viewer = view(edge, url, { jobId: role.id });
      const { detail } = await viewer.end();
      expect((viewer.terminal ?? detail)?.reason).toMatchObject({ case: "jobNotFound", value: { jobId: role.id } });
      // Its events are those of the runtime as before.
      expect((await view(edge, url).live()).ids).toEqual(["1"]);
    });
  });

  describe("the closing cursor of a job", () => {
    const ended = async (runtime: Runtime): Promise<string> => {
      const role = await new Stage(runtime).submit();
      await role.succeed();
      return role.id;
    };

    it.each(rpcEdges)("has $name repeat the diagnostic", async (edge) => {
      const { runtime, url } = await serveOver(logs);
      const request = { jobId: await ended(runtime) };
      const first = view(edge, url, request);
      await toTheEnd(first);
      const again = view(edge, url, resumeFrom(first.cursor, request));
      await toTheEnd(again);
      expect(again.terminal).toEqual(first.terminal);
      expect(again.events).toEqual([]);
    });

    it.each(sseEdges)("gets 204 over $name, which stops an EventSource", async (edge) => {
      const { runtime, url } = await serveOver(logs);
      const request = { jobId: await ended(runtime) };
      const first = view(edge, url, request);
      await toTheEnd(first);
      expect(await reconnect(edge, url, first.cursor, request).end()).toMatchObject({ status: 204 });
      expect(await view(edge, url, resumeFrom(first.cursor, request)).end()).toMatchObject({ status: 204 });
    });
  });
}
