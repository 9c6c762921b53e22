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

/** Where commands go, if a server takes them at another address than that at which it is watched. */
export interface CommandServerOptions extends ServerOptions {
  /**
   * Address for jobs and publishing, of a server that serves them on a port of their own (`tailrace serve
   * --command-listen`). Not together with `transport`. Default: `baseUrl`.
   */
  readonly commandUrl?: string;
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
  requireAddress("baseUrl", baseUrl);
  return connect({ ...options, baseUrl }, token === undefined ? [] : [bearer(token)]);
}

/** Makes the connection for commands: the same, unless they have an address of their own. */
export function openCommandConnection<O extends CommandServerOptions>(
  options: O,
  connect: (options: O & { baseUrl: string }, interceptors: Interceptor[]) => Connection,
): Connection {
  const { commandUrl } = options;
  if (commandUrl === undefined) return openConnection(options, connect);
  if (options.transport !== undefined) throw invalidRequest("commandUrl", "it goes with baseUrl, not with a transport");
  requireAddress("commandUrl", commandUrl);
  return openConnection({ ...options, baseUrl: commandUrl }, connect);
}

function requireAddress(name: string, url: string): void {
  if (/^https?:\/\/[^/]/.test(url) && URL.canParse(url)) return;
  throw invalidRequest(name, `"${url}" is no http:// or https:// address`);
}

function bearer(token: string | (() => string | Promise<string>)): Interceptor {
  return (next) => async (request) => {
    request.header.set("authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
    return next(request);
  };
}
