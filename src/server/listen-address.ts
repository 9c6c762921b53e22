import { BlockList, isIP, isIPv6 } from "node:net";
import { invalidRequest } from "../base/errors.ts";

/** Where to listen. */
export interface ListenAddress {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Reads "HOST:PORT", with an IPv6 address in brackets. @throws TailraceError `invalid_request` naming the option. */
export function parseListenAddress(text: string, option = "listen"): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535 || (bracketed !== undefined && !isIPv6(bracketed))) {
    throw invalidRequest(option, "must be HOST:PORT, such as 127.0.0.1:7433, [::1]:7433 or localhost:0");
  }
  return { host: bracketed ?? (plain as string), port };
}

/** Whether an address or name, without port and brackets, is of this machine only. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === "localhost";
  return loopback.check(host, family === 6 ? "ipv6" : "ipv4");
}

/** A host as it stands in a URL. */
export function hostInUrl(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}
