import { onTestFinished } from "vitest";
import { openTcpProxy, type TcpProxy } from "./open-tcp-proxy.ts";

export type { TcpProxy } from "./open-tcp-proxy.ts";

/** Starts a proxy on the loopback; it is closed when the test ends. */
export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const proxy = await openTcpProxy(targetPort);
  onTestFinished(() => proxy.close());
  return proxy;
}
