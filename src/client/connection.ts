import type { Interceptor, Transport } from "@connectrpc/connect";
import { invalidRequest } from "../base/errors.ts";

/** The way to a server. */
export interface Connection {
  readonly transport: Transport;
  /** Whether the transport is known to use the binary format, so that frames can be decoded faster. */
  readonly binary?: boolean;
  /**
   * Lets go of what the transport keeps open between calls. Called when a server stopped answering, because over HTTP/2 the
   * next call would go into the same dead connection.
   */
  reset?(): void;
  /** Lets go of everything, when no more calls will be made. */
  close?(): void;
}

/** Where the server is: its address, or a transport of your own. */
export interface ServerOptions {
  /** Address of the server, for example "http://127.0.0.1:7433". Not together with `transport`. */
  readonly baseUrl?: string;
  /**
   * A Connect transport for other protocols, certificates or interceptors. It is used as it is: give it
   * `acceptCompression: []`, or the server's batches are compressed for you alone.
   */
  readonly transport?: Transport;
  /** Bearer token, or a function that is asked for one before every call. Only together with `baseUrl`. */
  readonly token?: string | (() => string | Promise<string>);
}

/** Makes the connection that the options ask for. `connect` is the environment's way to make a transport. */
export function openConnection<O extends ServerOptions>(
  options: O,
  connect: (options: O & { baseUrl: string }, interceptors: Interceptor[]) => Connection,
): Connection {
  const { baseUrl, transport, token } = options;
  if (transport !== undefined) {
    if (baseUrl !== undefined) throw invalidRequest("baseUrl", "give either baseUrl or transport, not both");
    if (token !== undefined) throw invalidRequest("token", "a transport of your own brings its own interceptors");
    return { transport };
  }
  if (baseUrl === undefined) throw invalidRequest("baseUrl", "give the address of the server, or a transport");
  if (!/^https?:\/\/[^/]/.test(baseUrl) || !URL.canParse(baseUrl)) {
    throw invalidRequest("baseUrl", `"${baseUrl}" is no http:// or https:// address`);
  }
  return connect({ ...options, baseUrl }, token === undefined ? [] : [bearer(token)]);
}

function bearer(token: string | (() => string | Promise<string>)): Interceptor {
  return (next) => async (request) => {
    request.header.set("authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
    return next(request);
  };
}
