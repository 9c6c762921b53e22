import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { type Authenticator, credsAuthenticator, nkeyAuthenticator } from "@nats-io/transport-node";
import { invalidRequest, TailraceError } from "../../../base/errors.ts";
import { openFailed } from "../errors.ts";
import { parseNatsServer } from "./address.ts";

/** TLS towards NATS. Files are PEM. */
export interface NatsTlsOptions {
  /** Who signed the servers' certificates. Default: those whom Node trusts. */
  readonly caFile?: string;
  /** Our own certificate and its key, where servers ask for one. */
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** Where NATS is, and who we are to it: at most one of user, token, nkey and credentials. */
export interface NatsConnectOptions {
  /**
   * "nats://host:4222", "tls://host:4222" or "host"; port 4222 by default. The other servers of a cluster are found
   * through one. An address may carry "user:password@" or "token@".
   */
  readonly servers: readonly string[];
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  /** File with the seed of an nkey ("SU..."). Read again whenever a connection is made, so that it may be renewed. */
  readonly nkeyFile?: string | undefined;
  /** File with a JWT and a seed, as `nsc` makes it. Read again whenever a connection is made. */
  readonly credentialsFile?: string | undefined;
  /** Default: TLS where a server asks for it or an address begins with tls://. */
  readonly tls?: NatsTlsOptions | undefined;
  /** Whether to use servers of the cluster besides those in `servers`. Default: true. */
  readonly discoverServers?: boolean | undefined;
}

/** What the options say, in the form that the client of NATS takes. */
export interface Target {
  /** "host:port" each, never with credentials: safe to show. */
  readonly servers: readonly string[];
  readonly authenticator: Authenticator | undefined;
  readonly tls: NatsTlsOptions | undefined;
}

/**
 * Checks the options and reads the files of credentials once.
 * @throws TailraceError `invalid_request` naming the option, `log_open_failed` for a file that can't be used. Neither
 *   says anything of a secret.
 */
export function targetOf(options: NatsConnectOptions): Target {
  if (options.servers.length === 0)
    throw invalidRequest("servers", "name at least one, for example nats://127.0.0.1:4222");
  const addresses = options.servers.map((text, i) => parseNatsServer(text, `servers[${i}]`));
  const fromAddress = addresses.find(({ user, token }) => user !== undefined || token !== undefined);
  const { nkeyFile, credentialsFile } = options;
  const user = options.user ?? fromAddress?.user;
  const token = options.token ?? fromAddress?.token;
  const password = options.password ?? fromAddress?.password;
  const ways = Object.entries({ user, token, nkeyFile, credentialsFile }).filter(([, value]) => value !== undefined);
  if (ways.length > 1) {
    const [, second] = ways;
    throw invalidRequest(second?.[0] as string, `not together with ${ways[0]?.[0]}: one way to sign in is enough`);
  }
  if (password !== undefined && user === undefined) throw invalidRequest("password", "needs a user");
  const tls = options.tls ?? (addresses.some((address) => address.tls) ? {} : undefined);
  if ((tls?.certFile === undefined) !== (tls?.keyFile === undefined)) {
    throw invalidRequest("tls", "certFile and keyFile need each other");
  }
  checkTls(tls ?? {});
  return {
    servers: addresses.map(({ host, port }) => `${host}:${port}`),
    authenticator: authenticatorOf({ user, password, token, nkeyFile, credentialsFile }),
    tls,
  };
}

/** What Node would find only while it connects, or never: where it finds no certificate of who signs, it trusts nobody. */
function checkTls({ caFile, certFile, keyFile }: NatsTlsOptions): void {
  const [ca, cert, key] = [caFile, certFile, keyFile].map((file) =>
    file === undefined ? file : readSecret(file, "TLS"),
  );
  if (ca !== undefined && !holdsCertificate(ca)) {
    throw openFailed(
      "denied",
      `${caFile} holds no certificate. Name a PEM file with those of who signed that of NATS.`,
    );
  }
  if (cert !== undefined && !holdsCertificate(cert)) {
    throw openFailed("denied", `${certFile} holds no certificate. Name a PEM file with our own towards NATS.`);
  }
  try {
    createSecureContext({ cert: cert && Buffer.from(cert), key: key && Buffer.from(key) });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw openFailed(
      "denied",
      `The certificate ${certFile} can't be used with the key ${keyFile} (${code ?? message}). Name a PEM file with the key of that certificate, without a passphrase.`,
    );
  }
}

function holdsCertificate(bytes: Uint8Array): boolean {
  try {
    new X509Certificate(bytes);
    // Else it is DER, which TLS would not read.
    return Buffer.from(bytes).includes("-----BEGIN ");
  } catch {
    return false;
  }
}

interface SignIn {
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  readonly nkeyFile: string | undefined;
  readonly credentialsFile: string | undefined;
}

function authenticatorOf({ user, password, token, nkeyFile, credentialsFile }: SignIn): Authenticator | undefined {
  if (user !== undefined) return () => ({ user, pass: password ?? "" });
  if (token !== undefined) return () => ({ auth_token: token });
  if (nkeyFile !== undefined) return renewed(nkeyFile, "nkey", (bytes) => nkeyAuthenticator(trimmed(bytes)));
  if (credentialsFile !== undefined) return renewed(credentialsFile, "credentials", credsAuthenticator);
  return undefined;
}

/** Signs in with what a file holds at the time. The first time it must be right; later what was right before is kept. */
function renewed(path: string, kind: string, make: (bytes: Uint8Array) => Authenticator): Authenticator {
  let last = usable(path, kind, make);
  return (nonce) => {
    try {
      last = usable(path, kind, make);
    } catch {
      // One that throws would close the connection for ever, and the file may be half written only now.
    }
    return last(nonce);
  };
}

function usable(path: string, kind: string, make: (bytes: Uint8Array) => Authenticator): Authenticator {
  const bytes = readSecret(path, kind);
  try {
    const authenticator = make(bytes);
    authenticator("nonce");
    return authenticator;
  } catch {
    // Without its cause, which may repeat what the file holds.
    throw openFailed("denied", `${path} holds no ${kind} that NATS could take.`);
  }
}

function readSecret(path: string, kind: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    if (error instanceof TailraceError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw openFailed("denied", `The ${kind} file ${path} can't be read (${code}).`, error);
  }
}

function trimmed(bytes: Uint8Array): Uint8Array {
  return new TextEncoder().encode(new TextDecoder().decode(bytes).trim());
}
