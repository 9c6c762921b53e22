import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** A proxy before NATS that may hold back what a client sends, lose its connection, and let that arrive all the same. */
export interface HoldingProxy {
  readonly port: number;
  /** Holds back what clients send over the connections that there are. */
  hold(): void;
  /** Loses those connections for their clients, while the server has them still. */
  lose(): void;
  /** Lets arrive what was held back. Settles when the server has answered what was sent behind it, or is gone. */
  release(): Promise<void>;
}

const ping = "PING\r\n";
const pong = "PONG\r\n";

export async function startHoldingProxy(targetPort: number): Promise<HoldingProxy> {
  const pairs: { client: Socket; target: Socket; held: Buffer[] | undefined }[] = [];
  const server = createServer((client) => {
    const target = connect({ port: targetPort, host: "127.0.0.1" });
    const pair: (typeof pairs)[number] = { client, target, held: undefined };
    pairs.push(pair);
    for (const socket of [client, target]) socket.on("error", () => undefined);
    client.on("data", (chunk: Buffer) => {
      if (pair.held === undefined) target.write(chunk);
      else pair.held.push(chunk);
    });
    target.on("data", (chunk: Buffer) => void (client.destroyed || client.write(chunk)));
    target.on("close", () => client.destroy());
    client.on("close", () => void (pair.held ?? target.destroy()));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    for (const { client, target } of pairs) {
      client.destroy();
      target.destroy();
    }
  });
  return {
    port: (server.address() as AddressInfo).port,
    hold() {
      for (const pair of pairs) if (!pair.client.destroyed) pair.held ??= [];
    },
    lose() {
      for (const { client, held } of pairs) if (held !== undefined) client.destroy();
    },
    async release() {
      for (const { target, held } of pairs) {
        if (held === undefined || target.destroyed) continue;
        const isAnswered = new Promise<void>((resolve) => {
          target.on("close", () => resolve());
          let told = "";
          target.on("data", (chunk: Buffer) => {
            told = told.slice(-pong.length) + chunk.toString("latin1");
            if (told.includes(pong)) resolve();
          });
        });
        target.write(Buffer.concat([...held.splice(0), Buffer.from(ping)]));
        await isAnswered;
        target.destroy();
      }
    },
  };
}
