import { EventSource } from "eventsource";
import { expect, it, onTestFinished } from "vitest";
import { WorkerOutcome } from "../../gen/tailrace/v1/payloads_pb.ts";
import { serve } from "../support/serving.ts";
import { until } from "../support/until.ts";
import { Stage } from "./stage.ts";
import { publishIds } from "./world.ts";

/** An EventSource, with the ids of the events that it saw and the requests that it made. */
function open(url: string, names: readonly string[]) {
  const seen: string[] = [];
  const statuses: number[] = [];
  const source = new EventSource(url, {
    fetch: async (input, init) => {
      const answer = await fetch(input, init);
      statuses.push(answer.status);
      return answer;
    },
  });
  onTestFinished(() => source.close());
  for (const name of names) source.addEventListener(name, ({ data }) => seen.push(JSON.parse(data).correlationId));
  return { source, seen, statuses };
}

it("an EventSource that loses its connection misses nothing, and stops for good at the end", async () => {
  const { runtime, server } = await serve();
  await publishIds(runtime, "w", ["1"]);
  const { source, seen, statuses } = open(`${server.url}/v1/workers/w/events`, ["custom"]);
  await until(() => seen.length === 1, "the first event");
  await publishIds(runtime, "w", ["2"]);
  await until(() => seen.length === 2, "the second event");
  await runtime.worker("w").end({ outcome: WorkerOutcome.SUCCEEDED });
  // It takes the end of the stream for a loss, comes back with the closing cursor, and 204 tells it to stop.
  await until(() => source.readyState === EventSource.CLOSED, "it to stop");
  expect(statuses).toEqual([200, 204]);
  expect(seen).toEqual(["1", "2"]);
});

it("an EventSource of a job sees all of it, and stops for good at its end", async () => {
  const { runtime, server } = await serve();
  const job = await new Stage(runtime).submit();
  await job.say(["1"]);
  const { source, seen, statuses } = open(`${server.url}/v1/jobs/${job.id}/events?kinds=custom`, ["custom"]);
  await until(() => seen.length === 1, "the first event");
  await job.say(["2"]);
  await until(() => seen.length === 2, "the second event");
  await job.succeed();
  await until(() => source.readyState === EventSource.CLOSED, "it to stop");
  expect(statuses).toEqual([200, 204]);
  expect(seen).toEqual(["1", "2"]);
});

it("an EventSource whose position is gone is told so, and stops for good", async () => {
  const { runtime, server } = await serve({ retention: { workerEvents: 3 } });
  const { cursor } = await publishIds(runtime, "w", ["1"]);
  await publishIds(runtime, "w", ["2", "3", "4", "5", "6"]);
  // As one that had seen the first event and was away.
  const told: string[] = [];
  const statuses: number[] = [];
  let lastEventId: string | undefined = cursor;
  const source = new EventSource(`${server.url}/v1/workers/w/events`, {
    fetch: async (input, init) => {
      const headers = { ...init.headers, ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }) };
      lastEventId = undefined;
      const answer = await fetch(input, { ...init, headers });
      statuses.push(answer.status);
      return answer;
    },
  });
  onTestFinished(() => source.close());
  source.addEventListener("diagnostic", ({ data }) => told.push(...Object.keys(JSON.parse(data))));
  await until(() => source.readyState === EventSource.CLOSED, "it to stop");
  expect(told).toContain("cursorExpired");
  expect(statuses).toEqual([200, 204]);
});
