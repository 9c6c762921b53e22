import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { registerOperations, request } from "../jobs/world.ts";
import { serve } from "../support/serving.ts";

const half = '{"operation":"tell","params":{"te';

it("a body that is cut over HTTP/1.1 makes no job, and harms nobody", async () => {
  const { runtime, server } = await serve();
  registerOperations(runtime);
  const socket = connect(server.address.port, "127.0.0.1");
  socket.write(
    "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n" +
      `expect: 100-continue\r\n\r\n${half}`,
  );
  // The server has begun to read it.
  await once(socket, "data");
  socket.resetAndDestroy();
  expect((await request("GET", `${server.url}/v1/jobs`)).body.jobs).toBeUndefined();
});

it("a body that is cut over HTTP/2 makes no job, and harms neither its connection nor anybody", async () => {
  const { runtime, server } = await serve();
  registerOperations(runtime);
  const session = connectHttp2(server.url);
  onTestFinished(() => session.destroy());
  for (let i = 0; i < 20; i++) {
    const stream = session.request({ ":method": "POST", ":path": "/v1/jobs", "content-type": "application/json" });
    stream.on("error", () => undefined);
    stream.write(half);
    if (i % 2 === 0) await new Promise((resolve) => session.ping(resolve));
    stream.destroy();
  }
  const list = session.request({ ":path": "/v1/jobs" });
  let text = "";
  for await (const chunk of list) text += chunk;
  expect(JSON.parse(text).jobs).toBeUndefined();
});
