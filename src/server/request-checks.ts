import { isIP } from "node:net";
import { TailraceError } from "../base/errors.ts";
import { type HttpRequest, headerOf } from "../gateway/http.ts";
import { isLoopback } from "./listen-address.ts";

export interface TrustOptions {
  /** Names and addresses, without port, by which this server may be called besides those of loopback. */
  readonly hosts: readonly string[];
  /** Origins ("https://console.example") whose pages may call this server besides its own. */
  readonly origins: readonly string[];
}

/** Content types that no form and no script of a foreign page can send without asking first. */
const commandTypes = /^application\/(?:json|proto|connect\+(?:json|proto)|grpc(?:-web)?(?:\+(?:json|proto))?)$/;
/** Methods without contents. A page can't send the one of them that changes something, DELETE, without asking first. */
const emptyMethods = new Set(["GET", "HEAD", "OPTIONS", "DELETE"]);

/** For the header `Accept-Post`. */
export const acceptedTypes =
  "application/json, application/proto, application/connect+json, application/connect+proto, application/grpc, application/grpc-web";

/**
 * Holds off web pages that try to reach a runtime through someone's browser: by a name that they pointed here (DNS
 * rebinding), or from their own origin.
 */
export class RequestChecks {
  readonly #hosts: ReadonlySet<string>;
  readonly #origins: ReadonlySet<string>;

  constructor({ hosts, origins }: TrustOptions) {
    this.#hosts = new Set(hosts.map((host) => host.toLowerCase()));
    this.#origins = new Set(origins.map((origin) => origin.toLowerCase()));
  }

  /** Why the request is refused; undefined: it may pass. */
  refusal(request: HttpRequest): TailraceError<"access_denied"> | undefined {
    const authority = headerOf(request, ":authority") ?? headerOf(request, "host") ?? "";
    if (!this.#knows(hostOf(authority), request)) {
      return denied("The request is for a host that this server does not go by. Add it to the allowed hosts.");
    }
    const origin = headerOf(request, "origin")?.toLowerCase();
    if (origin !== undefined) {
      if (this.#origins.has(origin) || isSame(origin, authority)) return undefined;
      return denied("The request comes from a web page of another origin. Add the origin to the allowed origins.");
    }
    // A page that embeds a URL (an image, a script) sends no Origin, but says this.
    const site = headerOf(request, "sec-fetch-site");
    if (site === undefined || site === "none" || site === "same-origin") return undefined;
    return denied("The request comes from a web page of another origin.");
  }

  #knows(host: string, request: HttpRequest): boolean {
    if (isLoopback(host) || this.#hosts.has(host)) return true;
    // A name can be pointed anywhere, but the address that was dialled can't be forged from a page.
    return isIP(host) !== 0 && host === plainAddress(request.socket?.localAddress);
  }
}

/** Whether a request that may change something has a content type that a foreign page can't send. */
export function hasCommandType(request: HttpRequest): boolean {
  if (emptyMethods.has(request.method ?? "")) return true;
  const type = headerOf(request, "content-type") ?? "";
  return commandTypes.test((type.split(";", 1)[0] as string).trim().toLowerCase());
}

function denied(message: string): TailraceError<"access_denied"> {
  return new TailraceError("access_denied", { grant: "" }, message);
}

/** The host of "host:port", in lower case, without brackets. */
function hostOf(authority: string): string {
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(authority) ?? [];
  return (bracketed ?? plain ?? "").toLowerCase();
}

function isSame(origin: string, authority: string): boolean {
  return origin === `http://${authority.toLowerCase()}` || origin === `https://${authority.toLowerCase()}`;
}

/** Sockets that listen on IPv6 show IPv4 addresses as "::ffff:10.0.0.1". */
function plainAddress(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/, "");
}
