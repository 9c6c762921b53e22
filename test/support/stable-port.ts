import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/** Ports below those that Linux gives out by itself, where it says which those are. */
const lowest = 12_000;
const highest = Math.min(32_000, ephemeralFrom());

/** Test files that run at once, each with ports of its own; more than these share them. */
const lanes = 16;
/** What vitest numbers its workers by, from 1 on; there is none outside of tests. */
const lane = Number(process.env["VITEST_POOL_ID"] ?? 0) % lanes;

const ports = Math.floor((highest - lowest) / lanes);
let latest = Math.floor(Math.random() * ports);

/**
 * A port of loopback that the system gives to nobody by itself, so that a server which was killed finds it free when it
 * comes back, and that a file which runs beside this one does not take either. No port comes twice in a file. Free a moment
 * ago, which another run of the tests may have seen as well: whoever listens on it tries again with another.
 */
export async function stablePort(): Promise<number> {
  for (;;) {
    latest = (latest + 1) % ports;
    const port = lowest + latest * lanes + lane;
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
