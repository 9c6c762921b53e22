/** `tailrace/server`: serves a runtime over Connect, gRPC, gRPC-Web, SSE and JSON on one port. */

import { openDoor } from "../base/door.ts";
import type { ServiceName } from "../base/services.ts";
import type { CloseOptions, createServer as CreateServer, Server, ServerOptions } from "./create-server.ts";
import type { ListenAddress } from "./listen-address.ts";
import type { TlsOptions } from "./listeners.ts";

export type { CloseOptions, ListenAddress, Server, ServerOptions, ServiceName, TlsOptions };

const implementation = await openDoor(
  { part: "tailrace/server", packages: ["@connectrpc/connect", "@connectrpc/connect-node"] },
  () => import("./create-server.ts"),
);

/**
 * Serves a runtime on one port: Connect, gRPC, gRPC-Web, SSE and JSON over HTTP/1.1 and HTTP/2. Settles when it listens.
 * @throws TailraceError `invalid_request` naming the option.
 */
export const createServer: typeof CreateServer = implementation.createServer;
