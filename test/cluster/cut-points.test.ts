import { toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type Event, EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { connectHttp1 } from "../conformance/edges/connect.ts";
import type { Edge } from "../conformance/edges/edge.ts";
import { edges } from "../conformance/edges/index.ts";
import { resumeFrom, type Viewer, view } from "../conformance/viewer.ts";
import { freshSeed, randomOf } from "../support/random.ts";
import type { Server } from "./support/server.ts";
import { startCluster } from "./support/start-cluster.ts";

const cuts = 100;
/** Events of a batch, and batches that each server takes: several passes of a replay. */
const batch = 400;
const batches = 3;

async function publish(server: Server, workerId: string, first: number): Promise<void> {
  const events = Array.from({ length: batch }, (_, index) => ({
    workerId,
    correlationId: `${workerId}#${first + index}`,
    payload: { case: "custom" as const, value: { type: "load", data: Buffer.alloc((first + index) % 200, "x") } },
  }));
  await connectHttp1.client(server.url).unary(PublisherService.method.publishEvents, { events });
}

/** Reads to the end of the stream, however that comes about. */
async function readOut(viewer: Viewer): Promise<void> {
  try {
    await viewer.end();
  } catch {
    // What a torn connection looks like differs from client to client.
  }
}

/** Events as text, each with all of its bytes: what differs is said in a line. */
function linesOf(events: readonly Event[]): string[] {
  return events.map((event) => {
    const { sequence, payload, correlationId } = event;
    return `${sequence} ${payload.case} ${correlationId} ${Buffer.from(toBinary(EventSchema, event)).toString("hex")}`;
  });
}

/** The first part of a replay, and the position to go on from. */
interface Half {
  readonly events: readonly Event[];
  readonly cursor: string;
}

/** Replays until a number of events was read, and leaves at one of those that the last frame had. */
async function leaveAt(edge: Edge, server: Server, count: number): Promise<Half> {
  const viewer = view(edge, server.url);
  const events = (await viewer.until(count)).slice(0, count);
  viewer.leave();
  return { events, cursor: (events.at(-1) as Event).cursor };
}

/** Replays until the connection is cut after a number of bytes, which may be in the middle of a frame. */
async function tornAt(edge: Edge, server: Server, bytes: number): Promise<Half> {
  server.cutClientsAfter(bytes);
  const viewer = view(edge, server.url);
  await readOut(viewer);
  return { events: viewer.events, cursor: viewer.cursor };
}

test(`a watch replayed half from one server and half from another equals the log, at ${cuts} random points`, async () => {
  const { servers } = await startCluster({ servers: 2, nats: 1 });
  const [one, two] = servers as [Server, Server];
  for (let turn = 0; turn < batches; turn++) {
    await publish(one, "a", turn * batch);
    await publish(two, "b", turn * batch);
  }
  const whole = async (edge: Edge, server: Server) => {
    const before = server.bytesToClients;
    const viewer = await view(edge, server.url).live();
    viewer.leave();
    return { lines: linesOf(viewer.events), bytes: server.bytesToClients - before };
  };
  let log = await whole(connectHttp1, one);
  expect(log.lines.filter((line) => line.includes("#"))).toHaveLength(2 * batches * batch);
  const bytes = new Map<Edge, number>();
  for (const edge of edges) {
    const other = await whole(edge, two);
    expect(other.lines).toEqual(log.lines);
    bytes.set(edge, other.bytes);
  }

  const seed = freshSeed();
  const random = randomOf(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  /** Cuts that left something to both servers. */
  let inside = 0;
  for (let cut = 0; cut < cuts; cut++) {
    if (cut === cuts / 2) {
      // What they had heard was in their memory. From here on they read it from the stream.
      for (const server of [one, two]) {
        expect(await server.stop()).toBe(0);
        await server.start();
      }
      const { lines } = log;
      log = await whole(connectHttp1, one);
      expect(log.lines.slice(0, lines.length)).toEqual(lines);
    }
    const [from, to] = cut % 2 === 0 ? [one, two] : [two, one];
    const edge = edges[below(edges.length)] as Edge;
    const next = edges[below(edges.length)] as Edge;
    const half =
      below(2) === 0
        ? await leaveAt(edge, from, 1 + below(log.lines.length))
        : await tornAt(edge, from, 1 + below(bytes.get(edge) as number));
    const rest = await view(next, to.url, half.cursor === "" ? {} : resumeFrom(half.cursor)).live();
    rest.leave();
    const where = `seed ${seed}, cut ${cut}: ${edge.name} after ${half.events.length}, then ${next.name}`;
    expect(linesOf([...half.events, ...rest.events]), where).toEqual(log.lines);
    if (half.events.length > 0 && rest.events.length > 0) inside++;
  }
  expect(inside).toBeGreaterThan(cuts / 4);
});
