import { givenNatsOption, natsOptions, natsSettingsOf } from "../options/nats-options.ts";
import { usageError } from "../options/parse.ts";
import { defineCommand, value } from "../options/spec.ts";
import { logPlace, type NatsLogChoice, namespace } from "../options/values.ts";

export const migrateCommand = defineCommand({
  name: "migrate",
  summary: "Copy a log from a directory to NATS, or back.",
  description: [
    "Copies every event that is retained, in order and with its time, and what is known of workers, jobs, producers and transcripts, to a log that has never been used. Stop every server of both first. The old log stays as it is.",
    "The new log has the same runtime id and another generation: a cursor of the old one is told `cursor_unknown`, and its watcher begins anew. Workers of which no event is retained are not copied.",
    "Nothing is removed while it goes on: the limits of whoever serves the new log apply from then on.",
  ],
  options: {
    from: value("LOG", "A directory, or nats://HOST:PORT,HOST:PORT. Required.", logPlace),
    to: value("LOG", "The same. Must be new or empty. Required.", logPlace),
    "to-namespace": value("NAME", "With nats:// for both: namespace of --to. Default: --namespace.", namespace),
    ...natsOptions,
  },
  examples: [
    ["tailrace migrate --from ./tailrace-data --to nats://10.0.0.1 --namespace build --replicas 3", "into NATS"],
    ["tailrace migrate --from nats://10.0.0.1 --namespace build --to ./tailrace-data", "and back"],
  ],
  async run(values) {
    const { from, to } = values;
    if (from === undefined) throw usageError("migrate", "--from", "Name the log to copy.");
    if (to === undefined) throw usageError("migrate", "--to", "Name the log to copy to.");
    const settings = natsSettingsOf(values);
    const ignored = typeof from === "object" || typeof to === "object" ? undefined : givenNatsOption(settings);
    if (ignored !== undefined) {
      throw usageError("migrate", `--${ignored}`, "Only with a log in NATS: --from nats://HOST or --to nats://HOST.");
    }
    if (values["to-namespace"] !== undefined && typeof to !== "object") {
      throw usageError("migrate", "--to-namespace", "Only with --to nats://HOST.");
    }
    const place = (choice: string | NatsLogChoice, name = settings.namespace) =>
      typeof choice === "string" ? choice : { choice, settings: { ...settings, namespace: name } };
    const { migrate } = await import("../migrate.ts");
    return migrate(place(from), place(to, values["to-namespace"]));
  },
});
