import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { ListEventsRequestSchema } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { ServersInMemory } from "./servers.ts";

// A connection is lost with a write on its way, the server goes on over the next one, and then the write arrives after all.

test("what a job said on a connection that was lost comes before the job's end, once", async () => {
  const world = new ServersInMemory();
  const server = world.start();
  await world.turn();
  const { runtime, log, calls } = server;
  const jobId = await world.submit(server, "work");
  log.mute(true);
  const late = calls[0]?.job.narrate("late", "x");
  await world.turn();
  log.disconnect();
  log.mute(false);
  calls[0]?.finish();
  await world.turn();
  log.reconnect();
  await world.turn(50);
  log.sendLate();
  await world.turn();
  await late;
  const { events } = await runtime.listEvents(create(ListEventsRequestSchema, { jobId }));
  const said = events.map(({ payload }) => (payload.case === "narration" ? payload.value.action : payload.case));
  expect(said.filter((one) => one === "late")).toHaveLength(1);
  expect(said.at(-1)).toBe("jobStateChanged");
});

test("what was published for a worker on a connection that was lost comes before the worker's end, once", async () => {
  const world = new ServersInMemory();
  const { runtime, log } = world.start();
  await world.turn();
  const publish = (payload: NonNullable<MessageInitShape<typeof NewEventSchema>["payload"]>) =>
    runtime.publish([{ workerId: "w", payload }]);
  const first = publish({ case: "progress", value: { done: 1 } });
  await world.turn();
  await first;
  log.mute(true);
  const late = publish({ case: "progress", value: { done: 2 } });
  await world.turn();
  log.disconnect();
  log.mute(false);
  const ended = publish({ case: "workerEnded", value: {} });
  await world.turn();
  log.reconnect();
  await world.turn(50);
  log.sendLate();
  await world.turn();
  await Promise.all([late, ended]);
  const { events } = await runtime.listEvents(create(ListEventsRequestSchema, { workerIds: ["w"] }));
  expect(events.map(({ payload }) => payload.case)).toEqual(["workerCreated", "progress", "progress", "workerEnded"]);
});
