import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/** Ports below those that Linux gives out by itself, where it says which those are. */
const lowest = 12_000;
const highest = Math.min(32_000, ephemeralFrom());

/**
 * A port of loopback that the system gives to nobody by itself, so that a server which was killed finds it free when it
 * comes back. Free a moment ago, which another test may have seen as well: whoever listens on it tries again with another.
 */
export async function stablePort(): Promise<number> {
  for (;;) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest));
    const server = createServer();
    const listening = once(server, "listening").then(
      () => true,
      () => false,
    );
    server.listen(port, "127.0.0.1");
    if (!(await listening)) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

function ephemeralFrom(): number {
  try {
    return Number.parseInt(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8"), 10);
  } catch {
    // macOS and Windows begin at 49152.
    return 49_152;
  }
}
