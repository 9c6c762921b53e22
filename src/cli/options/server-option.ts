import { invalidRequest } from "../../base/errors.ts";
import { value } from "./spec.ts";
import { serverUrl } from "./values.ts";

/** The option of every command that talks to a server. */
export const serverOption = value(
  "URL",
  "Server to talk to. Default: TAILRACE_SERVER, else http://127.0.0.1:7433.",
  serverUrl,
);

/** The option of every command that publishes or commands jobs. */
export const commandServerOption = value(
  "URL",
  "Where the server takes commands and events, if not at --server (serve --command-listen). Default: TAILRACE_COMMAND_SERVER, else as --server.",
  serverUrl,
);

/** What the two options say. */
export interface ServerValues {
  readonly server: string | undefined;
  readonly "command-server": string | undefined;
}

/** The server that a variable names; undefined: it is not set. @throws TailraceError if it is no URL. */
function fromEnvironment(name: "TAILRACE_SERVER" | "TAILRACE_COMMAND_SERVER"): string | undefined {
  const text = process.env[name];
  if (text === undefined || text === "") return undefined;
  try {
    return serverUrl(text);
  } catch (error) {
    throw invalidRequest(name, `${(error as Error).message}.`);
  }
}

/** The server that a command talks to. */
export function chosenServer(option: string | undefined): string {
  return option ?? fromEnvironment("TAILRACE_SERVER") ?? "http://127.0.0.1:7433";
}

/** The server that a command publishes to or commands jobs of. */
export function chosenCommandServer(values: ServerValues): string {
  return namedCommandServer(values) ?? chosenServer(undefined);
}

/** The server that watchers of what is published would talk to; undefined: the one that takes the events, as far as is known. */
export function watchServer(values: ServerValues): string | undefined {
  return values.server ?? fromEnvironment("TAILRACE_SERVER");
}

/**
 * The same; undefined: nothing names one. TAILRACE_COMMAND_SERVER belongs to TAILRACE_SERVER: whoever gives another server
 * as an option must not command the one that the environment names.
 */
export function namedCommandServer(values: ServerValues): string | undefined {
  return (
    values["command-server"] ??
    values.server ??
    fromEnvironment("TAILRACE_COMMAND_SERVER") ??
    fromEnvironment("TAILRACE_SERVER")
  );
}
