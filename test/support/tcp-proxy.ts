import { onTestFinished } from "vitest";
import { openTcpProxy, type TcpProxy } from "./open-tcp-proxy.ts";

export type { TcpProxy } from "./open-tcp-proxy.ts";

/**
 * Starts a proxy on the loopback; it is closed when the test ends.
 * @param atEnd that of the test's context, where tests run at the same time.
 */
export async function startTcpProxy(targetPort: number, atEnd = onTestFinished): Promise<TcpProxy> {
  const proxy = await openTcpProxy(targetPort);
  atEnd(() => proxy.close());
  return proxy;
}
