// better-sse on express, as its documentation shows it: a channel that broadcasts. Replay is user code, because the library
// stores nothing.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createChannel, createSession } from "better-sse";
import express from "express";
import { control, textOf } from "./control.ts";
import { History } from "./history.ts";

const cursor = "A".repeat(62);
const channel = createChannel();
const channels = new Map<string, typeof channel>();
const history = new History<object>();

const app = express();
app.get("/events", async (request, response) => {
  const session = await createSession(request, response, { keepAlive: null });
  if (request.query["start_at"] === "earliest") {
    for (const event of history.entries) session.push(event, "output", cursor);
  }
  channel.register(session);
});
app.get("/workers/:worker/events", async (request, response) => {
  const session = await createSession(request, response, { keepAlive: null });
  let worker = channels.get(request.params.worker);
  if (worker === undefined) {
    worker = createChannel();
    channels.set(request.params.worker, worker);
  }
  worker.register(session);
});

const server = createServer(app);
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  control({
    port: (server.address() as AddressInfo).port,
    publish(events) {
      for (const event of events) {
        const workerId = `bench-${event.worker}`;
        const sequence = String(event.sequence);
        const message = {
          cursor,
          sequence,
          workerSequence: sequence,
          time: new Date().toISOString(),
          workerId,
          output: { stream: "OUTPUT_STREAM_STDOUT", data: textOf(event) },
        };
        history.add(message);
        channel.broadcast(message, "output", { eventId: cursor });
        channels.get(workerId)?.broadcast(message, "output", { eventId: cursor });
      }
    },
  });
});
