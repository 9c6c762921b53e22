import { type AddressInfo, createServer, type Server } from "node:net";
import { invalidRequest } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { hostInUrl, isLoopback, type ListenAddress, parseListenAddress } from "./listen-address.ts";

const defaultListen = "127.0.0.1:7433";

/** Where to listen, if it may be. @throws TailraceError `invalid_request` naming the option. */
export function allowedAddress(listen = defaultListen, insecure = false, option = "listen"): ListenAddress {
  const wanted = parseListenAddress(listen, option);
  if (!isLoopback(wanted.host) && !insecure) {
    throw invalidRequest(
      option,
      `${wanted.host} can be reached from other machines, and nothing asks them who they are; listen on 127.0.0.1, or allow it with insecure (--insecure on the command line)`,
    );
  }
  return wanted;
}

/** Settles with the address that it got when a server listens. @throws TailraceError `invalid_request` naming the option. */
export function bind(server: Server, { host, port }: ListenAddress, option = "listen"): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const hint = error.code === undefined ? undefined : failures[error.code];
      reject(hint === undefined ? error : invalidRequest(option, `${hostInUrl(host)}:${port} ${hint}`));
    };
    server.once("error", failed);
    server.listen({ host, port, backlog: limits.listenBacklog }, () => {
      server.off("error", failed);
      const bound = server.address() as AddressInfo;
      resolve({ host: bound.address, port: bound.port });
    });
  });
}

/**
 * Whether servers could listen, all at once (undefined: not at this one; by the names of their options), before anything is done for them. Nobody listens afterwards, so that who comes
 * before they are ready is refused and goes elsewhere.
 *
 * @throws TailraceError `invalid_request` naming the option.
 */
export async function checkAddresses(
  listens: Readonly<Record<string, string | undefined>>,
  insecure?: boolean,
): Promise<void> {
  const trials: Server[] = [];
  try {
    for (const [option, listen] of Object.entries(listens)) {
      if (listen === undefined) continue;
      const trial = createServer((socket) => socket.destroy());
      await bind(trial, allowedAddress(listen, insecure, option), option);
      trials.push(trial);
    }
  } finally {
    await Promise.all(trials.map((trial) => new Promise<void>((resolve) => trial.close(() => resolve()))));
  }
}

const failures: Readonly<Record<string, string>> = {
  EADDRINUSE: "is in use; stop what listens there, or choose another port (0: any that is free)",
  EACCES: "may not be used by this user; choose a port from 1024 up",
  EADDRNOTAVAIL: "is no address of this machine",
  ENOTFOUND: "is not known; check the name",
};
