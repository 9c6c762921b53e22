import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** What a proxy may lose alone. */
export type Direction = "to server" | "to client";

/** A proxy between a client and a server that breaks connections in the ways that networks do. */
export interface TcpProxy {
  readonly port: number;
  readonly url: string;
  /** Connections that were accepted so far. */
  readonly accepted: number;
  /** Connections that are open. */
  readonly open: number;
  /** Bytes that came from the server so far. */
  readonly bytesToClient: number;
  /** Sends what comes from now on to another port: the server moved, or came back elsewhere. */
  target(port: number): void;
  /** Resets every open connection. */
  cut(): void;
  /** Resets every connection once this many more bytes from the server have passed, in the middle of a frame if they fall there. */
  cutAfter(bytes: number): void;
  /** Passes nothing on and reads nothing, in both directions: TCP makes both ends wait. */
  stall(): void;
  /**
   * Reads everything and passes nothing on: the other end looks alive and is not. New connections fare the same.
   * `direction`: what is lost; what goes the other way arrives. Default: both.
   */
  blackhole(direction?: Direction): void;
  /** Passes everything on again. What a blackhole swallowed stays lost, so its connections are reset. */
  heal(): void;
  /** Resets what comes in before it reaches the server. */
  refuse(): void;
  close(): Promise<void>;
}

/** Starts a proxy on the loopback. Whoever opens it closes it. */
export async function openTcpProxy(targetPort: number): Promise<TcpProxy> {
  const pairs = new Set<Pair>();
  let target = targetPort;
  let mode: "pass" | "stall" | "blackhole" | "refuse" = "pass";
  let swallowed: Direction | "both" = "both";
  let accepted = 0;
  let bytesToClient = 0;
  let cutAt = Number.POSITIVE_INFINITY;
  /** The last bytes before a cut are on their way. What comes after them must not arrive, or there would be a hole in a stream. */
  let isCutting = false;

  const reset = (pair: Pair) => {
    pairs.delete(pair);
    pair.client.resetAndDestroy();
    pair.server.resetAndDestroy();
  };
  const resetAll = () => {
    for (const pair of [...pairs]) reset(pair);
  };

  const listener: Server = createServer({ allowHalfOpen: true }, (client) => {
    accepted++;
    if (mode === "refuse") {
      client.resetAndDestroy();
      return;
    }
    const pair: Pair = { client, server: connect({ port: target, host: "127.0.0.1", allowHalfOpen: true }) };
    pairs.add(pair);
    const pass = (from: Socket, to: Socket, direction: Direction, count: (length: number) => number) => {
      from.on("data", (chunk: Buffer) => {
        if (isCutting) return;
        if (mode === "blackhole" && (swallowed === "both" || swallowed === direction)) return;
        const allowed = count(chunk.length);
        if (!to.write(chunk.subarray(0, allowed))) from.pause();
        if (allowed < chunk.length) {
          cutAt = Number.POSITIVE_INFINITY;
          // The part before the cut must arrive, or this would be an ordinary reset.
          isCutting = true;
          setImmediate(() =>
            setImmediate(() => {
              isCutting = false;
              resetAll();
            }),
          );
        }
      });
      to.on("drain", () => {
        if (mode !== "stall") from.resume();
      });
      from.on("end", () => {
        if (mode === "pass") to.end();
      });
      from.on("error", () => reset(pair));
      from.on("close", () => {
        if (pairs.has(pair)) reset(pair);
      });
    };
    pass(client, pair.server, "to server", (length) => length);
    pass(pair.server, client, "to client", (length) => {
      const allowed = Math.min(length, cutAt - bytesToClient);
      bytesToClient += allowed;
      return allowed;
    });
    if (mode === "stall") pauseBoth(pair);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;

  const close = async () => {
    resetAll();
    if (!listener.listening) return;
    listener.close();
    await once(listener, "close");
  };

  return {
    port,
    url: `http://127.0.0.1:${port}`,
    get accepted() {
      return accepted;
    },
    get open() {
      return pairs.size;
    },
    get bytesToClient() {
      return bytesToClient;
    },
    target(next) {
      target = next;
    },
    cut: resetAll,
    cutAfter(bytes) {
      cutAt = bytesToClient + bytes;
    },
    stall() {
      mode = "stall";
      for (const pair of pairs) pauseBoth(pair);
    },
    blackhole(direction) {
      swallowed = direction ?? "both";
      mode = "blackhole";
    },
    heal() {
      const before = mode;
      mode = "pass";
      if (before === "blackhole") resetAll();
      for (const pair of pairs) {
        pair.client.resume();
        pair.server.resume();
      }
    },
    refuse() {
      mode = "refuse";
    },
    close,
  };
}

function pauseBoth(pair: Pair): void {
  pair.client.pause();
  pair.server.pause();
}
