import { connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** A connection to a port of this machine, with the text that came on it. Destroyed when the test is over. */
export async function dial(
  port: number,
): Promise<{ readonly socket: Socket; readonly received: () => string; readonly closed: Promise<void> }> {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => {
    socket.destroy();
  });
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (piece: string) => {
    text += piece;
  });
  socket.on("error", () => undefined);
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  await new Promise((resolve) => socket.once("connect", resolve));
  return { socket, received: () => text, closed };
}
