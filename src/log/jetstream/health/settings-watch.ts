import type { StreamConfig } from "@nats-io/jetstream";
import type { ReportError } from "../../../base/incident.ts";
import { settingsOf } from "../errors.ts";
import { differencesOf, logSettings, type Settings, type StreamOptions } from "../stream/settings.ts";

/**
 * Tells the operator once when settings of a log's stream were changed under servers that run, and when they fit again. Who
 * ends for it would keep nothing: what NATS removes by them is gone either way.
 */
export class SettingsWatch {
  readonly #settings: Settings;
  readonly #report: ReportError;
  #said = "";

  constructor(options: StreamOptions, report: ReportError) {
    this.#settings = logSettings(options);
    this.#report = report;
  }

  look(config: StreamConfig): void {
    const { stream } = this.#settings;
    const found = settingsOf({ stream, differences: differencesOf(config, this.#settings) });
    if (found === this.#said) return;
    this.#said = found;
    this.#report(
      new Error(
        found === ""
          ? `The stream ${stream} has the settings of the log again.`
          : `The stream ${stream} was changed: ${found}. Until it is changed back (nats stream edit ${stream}), or the servers are started again with options that say the same, events may be lost or refused.`,
      ),
    );
  }
}
