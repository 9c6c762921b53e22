import { givenNatsOption, natsOptions, natsSettingsOf } from "../options/nats-options.ts";
import { usageError } from "../options/parse.ts";
import { layered, type RuntimeSettings, runtimeOptions, settingsOf } from "../options/runtime-options.ts";
import { defineCommand, value } from "../options/spec.ts";
import { anyText, listenAddress } from "../options/values.ts";

export const serveCommand = defineCommand({
  name: "serve",
  summary: "Keep a runtime up that workers publish to and anyone on this machine watches.",
  description: [
    "Serves Connect, gRPC, gRPC-Web, SSE and JSON on one port. When it is ready it prints `tailrace ready http://HOST:PORT` on stdout; with --command-listen, a line `tailrace commands http://HOST:PORT` comes before it.",
    "SIGTERM and SIGINT end it in an orderly way, within 10 seconds: every watcher is told where to come back. A second signal ends it at once; nothing that was acknowledged is lost either way.",
  ],
  options: {
    ...runtimeOptions,
    ...natsOptions,
    "command-listen": value(
      "HOST:PORT",
      "Serve jobs and publishing here, and nothing but watching and reading on --listen. Default: everything on --listen.",
      listenAddress,
    ),
    config: value(
      "FILE",
      "JSON file with the same settings in camelCase (retainWorkerEvents). Options go before it.",
      anyText,
    ),
  },
  examples: [
    ["tailrace serve", "on 127.0.0.1:7433, with the log in ./tailrace-data"],
    ["tailrace serve --listen 127.0.0.1:0 --log memory", "on a free port, for a test"],
    ["tailrace serve --data /var/lib/tailrace --retain-worker-age 2d", "with less history"],
    [
      "tailrace serve --log nats://10.0.0.1,10.0.0.2 --namespace build --replicas 3 --nats-creds ./creds",
      "one of several servers of one log",
    ],
    ["tailrace serve --config tailrace.json", "with settings from a file"],
  ],
  async run(values) {
    const given = {
      ...settingsOf("serve", values),
      commandListen: values["command-listen"],
      nats: natsSettingsOf(values),
    };
    const { readConfigFile } = await import("../config-file.ts");
    const config = values.config === undefined ? undefined : await readConfigFile(values.config);
    const settings = config === undefined ? given : layered(config.settings, given);
    requireNats(settings, given, config?.settings);
    const { serve } = await import("../serve.ts");
    return serve(settings, config?.operations ?? []);
  },
});

/**
 * Refuses options of NATS that a log elsewhere would ignore: it would look replicated, and not be. Those of a file may stay where
 * the command line names another log than the file does.
 */
function requireNats(settings: RuntimeSettings, given: RuntimeSettings, file: RuntimeSettings | undefined): void {
  if (typeof settings.log === "object") return;
  const needsNats = "Only with a log in NATS: add --log nats://HOST.";
  const option = givenNatsOption(given.nats ?? {});
  if (option !== undefined) throw usageError("serve", `--${option}`, needsNats);
  const inFile = given.log === undefined ? givenNatsOption(file?.nats ?? {}) : undefined;
  if (inFile === undefined) return;
  const key = inFile.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
  throw usageError("serve", `${key} of --config`, `${needsNats.slice(0, -1)}, or "log": "nats://HOST" to the file.`);
}
