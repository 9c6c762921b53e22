import { invalidRequest } from "../../base/errors.ts";
import { value } from "./spec.ts";
import { serverUrl } from "./values.ts";

/** The option of every command that talks to a server. */
export const serverOption = value(
  "URL",
  "Server to talk to. Default: TAILRACE_SERVER, else http://127.0.0.1:7433.",
  serverUrl,
);

/** The server that TAILRACE_SERVER names; undefined: it is not set. @throws TailraceError if it is no URL. */
export function serverFromEnvironment(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const text = env["TAILRACE_SERVER"];
  if (text === undefined || text === "") return undefined;
  try {
    return serverUrl(text);
  } catch (error) {
    throw invalidRequest("TAILRACE_SERVER", `${(error as Error).message}.`);
  }
}

/** The server that a command talks to. */
export function chosenServer(option: string | undefined): string {
  return option ?? serverFromEnvironment() ?? "http://127.0.0.1:7433";
}
