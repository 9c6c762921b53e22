import { invalidRequest } from "../../../base/errors.ts";

const defaultPort = 4222;

/** What an address of NATS says. */
export interface NatsAddress {
  /** An IPv6 address is in brackets. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/** Reads an address. @throws TailraceError `invalid_request` for `field`, which repeats nothing of the address. */
export function parseNatsServer(text: string, field: string): NatsAddress {
  const wrong = () => invalidRequest(field, "is no address of NATS; write for example nats://127.0.0.1:4222");
  const scheme = /^([a-z]+):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "nats" && scheme !== "tls") throw wrong();
  let url: URL;
  try {
    url = new URL(`nats://${scheme === undefined ? text : text.slice(scheme.length + 3)}`);
  } catch {
    throw wrong();
  }
  if (url.hostname === "" || !/^\/?$/.test(url.pathname) || url.search !== "" || url.hash !== "") throw wrong();
  const name = decodeURIComponent(url.username);
  const password = decodeURIComponent(url.password);
  const port = url.port === "" ? defaultPort : Number(url.port);
  const credentials = name === "" ? {} : password === "" ? { token: name } : { user: name, password };
  return { host: url.hostname, port, tls: scheme === "tls", ...credentials };
}
