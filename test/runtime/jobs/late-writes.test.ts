import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { ListEventsRequestSchema } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { ServersInMemory } from "./servers.ts";

// A connection is lost with a write on its way, the server goes on over the next one, and then the write arrives after all.

test("what a job said on a connection that was lost does not come after the job's end", async () => {
  const world = new ServersInMemory();
  const server = world.start();
  await world.turn();
  const { runtime, log, calls } = server;
  const jobId = await world.submit(server, "work");
  log.loseAnswers(true);
  const late = calls[0]?.job.narrate("late", "x").catch((error: unknown) => error);
  await world.turn();
  log.loseAnswers(false);
  calls[0]?.finish();
  await world.turn(50);
  log.sendLate();
  await world.turn();
  expect(await late).toMatchObject({ reason: "job_ended" });
  const { events } = await runtime.listEvents(create(ListEventsRequestSchema, { jobId }));
  expect(events.at(-1)?.payload.case).toBe("jobStateChanged");
});

test("what was published for a worker on a connection that was lost does not come after the worker's end", async () => {
  const world = new ServersInMemory();
  const { runtime, log } = world.start();
  await world.turn();
  const publish = (payload: NonNullable<MessageInitShape<typeof NewEventSchema>["payload"]>) =>
    runtime.publish([{ workerId: "w", payload }]).catch((error: unknown) => error);
  const first = publish({ case: "progress", value: { done: 1 } });
  await world.turn();
  await first;
  log.loseAnswers(true);
  const late = publish({ case: "progress", value: { done: 2 } });
  await world.turn();
  log.loseAnswers(false);
  const ended = publish({ case: "workerEnded", value: {} });
  await world.turn(50);
  await ended;
  log.sendLate();
  await world.turn();
  expect(await late).toMatchObject({ message: expect.stringContaining("has ended") });
  const { events } = await runtime.listEvents(create(ListEventsRequestSchema, { workerIds: ["w"] }));
  expect(events.at(-1)?.payload.case).toBe("workerEnded");
});
