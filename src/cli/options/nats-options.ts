import { readFileSync } from "node:fs";
import { invalidRequest } from "../../base/errors.ts";
import type { NatsConnectOptions } from "../../log/jetstream/connection/connect-options.ts";
import { type OptionValues, value } from "./spec.ts";
import { anyText, byteCount, type NatsLogChoice, namespace, replicaCount } from "./values.ts";

/**
 * Options of a log in NATS. Secrets come in files or in the environment, because anyone on the machine can read a command
 * line.
 */
export const natsOptions = {
  namespace: value("NAME", "With nats://: which log, since one NATS may hold several.", namespace),
  replicas: value(
    "N",
    "With nats://: servers of NATS that hold every event, 1 (default) to 5. 3 survive the loss of one of them, 5 of two.",
    replicaCount,
  ),
  "nats-max-bytes": value(
    "SIZE",
    "With nats://: bytes that the log's stream may take, a wall that publishers meet. Default: what NATS allows.",
    byteCount,
  ),
  "nats-user": value("NAME", "User of NATS. Its password: --nats-password-file or TAILRACE_NATS_PASSWORD.", anyText),
  "nats-password-file": value("FILE", "File with the password of that user.", anyText),
  "nats-token-file": value("FILE", "File with a token for NATS. Or TAILRACE_NATS_TOKEN.", anyText),
  "nats-nkey": value("FILE", "File with the seed of an nkey.", anyText),
  "nats-creds": value("FILE", "Credentials file (JWT and seed), as nsc makes it.", anyText),
  "nats-ca": value("FILE", "PEM file: who signed the certificates of NATS. Default: whom Node trusts.", anyText),
  "nats-cert": value("FILE", "PEM file: our own certificate towards NATS, with --nats-key.", anyText),
  "nats-key": value("FILE", "PEM file: its key.", anyText),
} as const;

/** The same as the options. What is undefined was not given. */
export interface NatsSettings {
  readonly namespace?: string | undefined;
  readonly replicas?: number | undefined;
  readonly maxBytes?: number | undefined;
  readonly user?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly nkey?: string | undefined;
  readonly creds?: string | undefined;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** Names of the settings as options have them. */
export const natsNames = {
  namespace: "namespace",
  replicas: "replicas",
  "nats-max-bytes": "maxBytes",
  "nats-user": "user",
  "nats-password-file": "passwordFile",
  "nats-token-file": "tokenFile",
  "nats-nkey": "nkey",
  "nats-creds": "creds",
  "nats-ca": "ca",
  "nats-cert": "cert",
  "nats-key": "key",
} as const satisfies Record<keyof typeof natsOptions, keyof NatsSettings>;

export function natsSettingsOf(values: Partial<OptionValues<typeof natsOptions>>): NatsSettings {
  const settings: Record<string, unknown> = {};
  for (const [option, name] of Object.entries(natsNames) as [keyof typeof natsOptions, keyof NatsSettings][]) {
    if (values[option] !== undefined) settings[name] = values[option];
  }
  return settings;
}

/** The first option that was given; undefined: none was. */
export function givenNatsOption(settings: NatsSettings): keyof typeof natsOptions | undefined {
  const names = Object.entries(natsNames) as [keyof typeof natsOptions, keyof NatsSettings][];
  return names.find(([, name]) => settings[name] !== undefined)?.[0];
}

/** Which log, how many servers hold it, and how much it may take. */
export interface NatsLogOptions extends NatsConnectOptions {
  readonly namespace: string;
  readonly replicas?: number;
  readonly maxBytes?: number;
}

/** What opens a log in NATS. Secrets are read now. @throws TailraceError `invalid_request` naming the setting. */
export function natsLogOptions(
  { servers }: NatsLogChoice,
  settings: NatsSettings,
  env: NodeJS.ProcessEnv = process.env,
): NatsLogOptions {
  const { namespace, replicas, maxBytes, user, passwordFile, tokenFile, nkey, creds, ca, cert, key } = settings;
  if (namespace === undefined) {
    throw invalidRequest("--namespace", "A log in NATS needs a name: --namespace NAME.");
  }
  const isOtherNamed =
    [user, nkey, creds].some((name) => name !== undefined) || servers.some((one) => one.includes("@"));
  const token = tokenFile === undefined ? undefined : secretIn(tokenFile, "--nats-token-file");
  const tls = {
    ...(ca === undefined ? {} : { caFile: ca }),
    ...(cert === undefined ? {} : { certFile: cert }),
    ...(key === undefined ? {} : { keyFile: key }),
  };
  return {
    servers,
    namespace,
    ...(replicas === undefined ? {} : { replicas }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
    user,
    password:
      passwordFile !== undefined
        ? secretIn(passwordFile, "--nats-password-file")
        : user === undefined
          ? undefined
          : fromEnvironment(env, "TAILRACE_NATS_PASSWORD"),
    // Whoever names another way to sign in does not mean the environment's.
    token: token ?? (isOtherNamed ? undefined : fromEnvironment(env, "TAILRACE_NATS_TOKEN")),
    nkeyFile: nkey,
    credentialsFile: creds,
    tls: Object.keys(tls).length === 0 ? undefined : tls,
  };
}

function fromEnvironment(env: NodeJS.ProcessEnv, name: string): string | undefined {
  return env[name] === "" ? undefined : env[name];
}

/** The first line of a file. */
function secretIn(path: string, option: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw invalidRequest(option, `${path} can't be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  const [line = ""] = text.split(/\r?\n/, 1);
  if (line === "") throw invalidRequest(option, `${path} is empty.`);
  return line;
}
