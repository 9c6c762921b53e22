import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import { invalidRequest } from "../base/errors.ts";
import { type ReportError, safeReport } from "../base/incident.ts";
import { limits } from "../base/limits.ts";
import { type ServiceName, serviceNames } from "../base/services.ts";
import { createGateway } from "../gateway/gateway.ts";
import type { HttpHandler } from "../gateway/http.ts";
import { sendError, sendProblem } from "../gateway/problem.ts";
import { createRpcHandler } from "../rpc/handler.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { allowedAddress, bind } from "./bind.ts";
import { Connections } from "./connections.ts";
import { hostInUrl, type ListenAddress } from "./listen-address.ts";
import { createListener, type TlsOptions } from "./listeners.ts";
import { acceptedTypes, hasCommandType, RequestChecks } from "./request-checks.ts";

export interface ServerOptions {
  /** What is served. The server does not close it; it only has its watches end. */
  readonly runtime: Runtime;
  /**
   * What is served of it: watching and reading (`observe`), publishing events (`publish`), and submitting, starting,
   * cancelling and reading jobs (`jobs`). What is not is as if it did not exist. Two servers can serve one runtime, each its
   * part on its own port. Default: everything.
   */
  readonly services?: readonly ServiceName[];
  /** "HOST:PORT", by default "127.0.0.1:7433". Port 0: one that is free. */
  readonly listen?: string;
  /** Whether to listen where other machines can reach, although any of them may then read and publish. Default: false. */
  readonly insecure?: boolean;
  /** Serve over TLS, with HTTP/1.1 and HTTP/2 by ALPN. Default: cleartext. */
  readonly tls?: TlsOptions;
  /** Names and addresses, without port, by which clients may call this server besides those of loopback. */
  readonly allowedHosts?: readonly string[];
  /** Origins ("https://console.example") whose pages may call this server. Default: only its own. */
  readonly allowedOrigins?: readonly string[];
  /** Milliseconds after which a reader that takes nothing with bytes pending is cut off. Default: 2 minutes. */
  readonly stallTimeoutMs?: number;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Takes faults of the server, with the incident id that a client was told. Default: one line on stderr. */
  readonly onError?: ReportError;
}

export interface CloseOptions {
  /** Milliseconds that readers have to take what was written before they are cut off. Default: 5,000. */
  readonly graceMs?: number;
}

export interface Server {
  /** Where it can be reached, with the port that it got. */
  readonly url: string;
  readonly address: ListenAddress;
  /**
   * Accepts nothing any more, has every watch end with `server_closing` and a cursor to come back with, lets answers
   * finish, and settles when the last connection is closed. The runtime stays open; close it afterwards. Of the last server
   * of a runtime that closes, watches in process end as well, and no job starts any more.
   */
  close(options?: CloseOptions): Promise<void>;
}

/**
 * Serves a runtime on one port: Connect, gRPC, gRPC-Web, SSE and JSON over HTTP/1.1 and HTTP/2. Settles when it listens.
 * @throws TailraceError `invalid_request` naming the option.
 */
export async function createServer(options: ServerOptions): Promise<Server> {
  const { runtime, clock = systemClock } = options;
  const report = safeReport(options.onError);
  const services = servicesOf(options.services);
  const wanted = allowedAddress(options.listen, options.insecure);
  const checks = new RequestChecks({
    hosts: [wanted.host, ...(options.allowedHosts ?? [])],
    origins: options.allowedOrigins ?? [],
  });
  const connections = new Connections();
  let closing: Promise<void> | undefined;
  const stallTimeoutMs = options.stallTimeoutMs ?? limits.stallTimeoutMs;
  const group = {};
  const common = { runtime, services, group, clock, stallTimeoutMs, report };
  const rpc = createRpcHandler(common);
  const gateway = createGateway({ ...common, isClosing: () => closing !== undefined });

  const handler: HttpHandler = (request, response) => {
    const { socket } = request;
    if (request.httpVersionMajor === 1) {
      connections.begin(socket);
      response.once("close", () => connections.end(socket));
      if (closing !== undefined) response.setHeader("connection", "close");
    }
    const isRpc = rpcPath.test(request.url ?? "");
    const refusal = checks.refusal(request);
    if (refusal !== undefined) {
      if (isRpc) {
        rpc(request, response, refusal);
      } else {
        request.resume();
        sendError(response, refusal);
      }
    } else if (!hasCommandType(request)) {
      request.resume();
      sendProblem(response, 415, `The content type must be one of ${acceptedTypes}.`, { "accept-post": acceptedTypes });
    } else if (isRpc) rpc(request, response);
    else gateway(request, response);
  };

  const listener = createListener({ handler, connections, tls: options.tls });
  const address = await bind(listener.server, wanted).catch((error) => {
    listener.release();
    throw error;
  });
  listener.server.on("error", (error) => report(error));
  const url = `${options.tls === undefined ? "http" : "https"}://${hostInUrl(reachable(wanted.host))}:${address.port}`;
  // Programs that jobs start publish there.
  if (services.has("publish")) runtime.advertise(url);
  const others = serversOf(runtime);
  others.add(group);

  return {
    url,
    address,
    close: ({ graceMs = limits.closeGraceMs } = {}) => {
      closing ??= new Promise((resolve) => {
        const stopTimer = clock.after(graceMs, () => connections.destroy());
        listener.server.close(() => {
          stopTimer();
          listener.release();
          resolve();
        });
        others.delete(group);
        // While another server serves the runtime, it goes on.
        if (others.size > 0) runtime.closeGroup(group, limits.closeRetryAfterMs);
        else runtime.beginClosing(limits.closeRetryAfterMs);
        connections.close();
      });
      return closing;
    },
  };
}

/** The servers, by their groups, that serve a runtime. */
const servers = new WeakMap<Runtime, Set<object>>();

function serversOf(runtime: Runtime): Set<object> {
  let open = servers.get(runtime);
  if (open === undefined) {
    open = new Set();
    servers.set(runtime, open);
  }
  return open;
}

function servicesOf(names: readonly ServiceName[] = serviceNames): ReadonlySet<ServiceName> {
  const known: readonly string[] = serviceNames;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw invalidRequest("services", `"${unknown}" is none of ${known.join(", ")}`);
  if (names.length === 0)
    throw invalidRequest("services", `a server without any serves nothing; name ${known.join(", ")}`);
  return new Set(names);
}

/** "/package.Service/Method". */
const rpcPath = /^\/[\w.]+\.\w+\/\w+(?:\?|$)/;

/** An address that can be dialled where the one listened on means "all". */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}
