import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

/**
 * A transport that goes to one of several servers, and to the next one after every call that failed there: what a balancer does
 * for a client. `first`: which it begins with.
 */
export function failoverTransport(urls: readonly string[], first = 0): Transport {
  const transports = urls.map((baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true, acceptCompression: [] }),
  );
  let at = first;
  const current = (): Transport => transports[at % transports.length] as Transport;
  const leave = (transport: Transport): void => {
    // Of calls that fail together only the first moves on.
    if (transport === current()) at++;
  };
  return {
    async unary(...args) {
      const transport = current();
      try {
        return await transport.unary(...args);
      } catch (error) {
        leave(transport);
        throw error;
      }
    },
    async stream(...args) {
      const transport = current();
      try {
        const response = await transport.stream(...args);
        return { ...response, message: leaving(response.message, () => leave(transport)) };
      } catch (error) {
        leave(transport);
        throw error;
      }
    },
  };
}

/** The same messages; `left` is called at their end, in whatever way it comes. */
async function* leaving<T>(messages: AsyncIterable<T>, left: () => void): AsyncIterable<T> {
  try {
    yield* messages;
  } finally {
    left();
  }
}
