import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** A proxy before NATS that may swallow what is published, and passes everything else on. */
export interface DeafProxy {
  readonly port: number;
  isDeaf: boolean;
}

const lineEnd = Buffer.from("\r\n");

/**
 * A write that NATS takes and does nothing with, as when its disk is full: nobody answers, and everything else works.
 * @param swallows which subjects it is deaf to.
 */
export async function startDeafProxy(targetPort: number, swallows: (subject: string) => boolean): Promise<DeafProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const target = connect({ port: targetPort, host: "127.0.0.1" });
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        client.destroy();
        target.destroy();
        sockets.delete(socket);
      });
    }
    target.pipe(client);
    let unread: Buffer = Buffer.alloc(0);
    client.on("data", (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      for (let at = unread.indexOf(lineEnd); at >= 0; at = unread.indexOf(lineEnd)) {
        const words = unread.toString("latin1", 0, at).split(" ");
        const isMessage = words[0] === "PUB" || words[0] === "HPUB";
        const length = at + 2 + (isMessage ? Number(words.at(-1)) + 2 : 0);
        if (unread.length < length) return;
        if (!isMessage || !proxy.isDeaf || !swallows(words[1] as string)) target.write(unread.subarray(0, length));
        unread = unread.subarray(length);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const proxy = { port: (server.address() as AddressInfo).port, isDeaf: false };
  return proxy;
}
