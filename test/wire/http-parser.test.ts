import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { createProtocolSwitch } from "../../src/server/protocol-switch.ts";
import { sendStreamHead, targetOf } from "../../src/wire/byte-target.ts";
import { eventually } from "../support/until.ts";

interface Serving {
  readonly server: Server;
  readonly responses: ServerResponse[];
  /** Sockets of the server. */
  readonly sockets: Set<Socket>;
  open(text: string): { readonly socket: Socket; text(): string; closed(): boolean };
}

/** Answers every request with a stream that stays open. */
async function serve(): Promise<Serving> {
  const responses: ServerResponse[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    responses.push(response);
    request.resume();
    sendStreamHead(response, 200, { "content-type": "text/plain" });
    const target = targetOf(response);
    target.write(target.encode?.(Buffer.from("hello")) ?? Buffer.from("hello"));
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  const { port } = server.address() as AddressInfo;
  return {
    server,
    responses,
    sockets,
    open(text) {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      onTestFinished(() => {
        socket.destroy();
      });
      let received = "";
      let closed = false;
      socket.on("error", () => undefined);
      socket.on("data", (chunk: Buffer) => {
        received += chunk.toString("latin1");
      });
      socket.on("end", () => {
        closed = true;
      });
      socket.on("close", () => {
        closed = true;
      });
      socket.write(text);
      return { socket, text: () => received, closed: () => closed };
    },
  };
}

const get = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

function parserOf(socket: Socket): unknown {
  return (socket as { parser?: unknown }).parser ?? undefined;
}

async function streaming(serving: Serving, text = get): Promise<ReturnType<Serving["open"]>> {
  const reader = serving.open(text);
  await eventually(() => expect(reader.text()).toContain("5\r\nhello\r\n"));
  return reader;
}

test("a stream holds no parser, and goes on and ends as ever", async () => {
  const serving = await serve();
  const reader = await streaming(serving);
  const [socket] = serving.sockets;
  await eventually(() => expect(parserOf(socket as Socket)).toBeUndefined());
  expect(reader.text()).toMatch(
    /^HTTP\/1\.1 200 OK\r\n[\s\S]*connection: close\r\n[\s\S]*transfer-encoding: chunked\r\n/i,
  );
  const response = serving.responses[0] as ServerResponse;
  const target = targetOf(response);
  target.write(target.encode?.(Buffer.from("more")) ?? Buffer.from("more"));
  response.addTrailers({ "x-end": "1" });
  response.end();
  await eventually(() => expect(reader.closed()).toBe(true));
  expect(reader.text()).toMatch(/5\r\nhello\r\n4\r\nmore\r\n0\r\nx-end: 1\r\n\r\n$/);
  reader.socket.end();
  await eventually(() => expect(serving.sockets.size).toBe(0));
});

test.each([
  ["is reset", (socket: Socket) => socket.resetAndDestroy()],
  ["is closed", (socket: Socket) => socket.destroy()],
  ["ends its side", (socket: Socket) => socket.end()],
] as const)("a reader that %s is noticed", async (_, leave) => {
  const serving = await serve();
  const reader = await streaming(serving);
  const [socket] = serving.sockets;
  await eventually(() => expect(parserOf(socket as Socket)).toBeUndefined());
  let closed = false;
  serving.responses[0]?.on("close", () => {
    closed = true;
  });
  leave(reader.socket);
  await eventually(() => expect(closed).toBe(true));
  await eventually(() => expect(serving.sockets.size).toBe(0));
});

test("what a reader sends into a stream is dropped, and harms nothing", async () => {
  const serving = await serve();
  const reader = await streaming(serving);
  const [socket] = serving.sockets;
  await eventually(() => expect(parserOf(socket as Socket)).toBeUndefined());
  for (let i = 0; i < 50; i++) reader.socket.write(i % 2 === 0 ? get : Buffer.alloc(40_000, 7));
  await eventually(() => expect((socket as Socket).bytesRead).toBeGreaterThan(1_000_000));
  expect(serving.responses).toHaveLength(1);
  expect((socket as Socket).readableLength).toBeLessThan(200_000);
  const response = serving.responses[0] as ServerResponse;
  const target = targetOf(response);
  target.write(target.encode?.(Buffer.from("more")) ?? Buffer.from("more"));
  await eventually(() => expect(reader.text()).toContain("4\r\nmore\r\n"));
});

test("a request whose body has not come keeps its parser", async () => {
  const serving = await serve();
  await streaming(serving, "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc");
  const [socket] = serving.sockets;
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
  expect(parserOf(socket as Socket)).toBeDefined();
});

test("other connections of the server are served as ever", async () => {
  const serving = await serve();
  for (let round = 0; round < 3; round++) {
    const readers = await Promise.all(Array.from({ length: 20 }, () => streaming(serving)));
    for (const [i, { socket }] of readers.entries()) if (i % 2 === 0) socket.resetAndDestroy();
    await eventually(() => expect(serving.sockets.size).toBe((round + 1) * 10));
  }
});

test("a burst of connections in one turn does not hold the parsers of all of them", async () => {
  const answered: Socket[] = [];
  const server = createServer((request, response) => {
    request.resume();
    sendStreamHead(response, 200, { "content-type": "text/plain" });
    answered.push(request.socket);
  });
  const held: number[] = [];
  const accepted: Socket[] = [];
  const listener = createProtocolSwitch({
    onHttp1(socket) {
      held.push(answered.filter((other) => parserOf(other) !== undefined).length);
      server.emit("connection", socket);
    },
    onHttp2: (socket) => socket.destroy(),
  });
  listener.on("connection", (socket: Socket) => accepted.push(socket));
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const readers = Array.from({ length: 50 }, () => connect({ port, host: "127.0.0.1" }));
  onTestFinished(async () => {
    for (const socket of [...readers, ...accepted]) socket.destroy();
    listener.close();
    await once(listener, "close");
  });
  await eventually(() => expect(accepted).toHaveLength(readers.length));
  // All at once, so that the server finds all of them ready at once.
  for (const reader of readers) reader.write(get);
  await eventually(() => expect(answered).toHaveLength(readers.length));
  expect(held).toEqual(readers.map(() => 0));
});
