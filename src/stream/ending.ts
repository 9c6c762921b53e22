import type { Position } from "../events/cursor.ts";
import { diagnosticOf } from "../events/diagnostics.ts";
import type { TerminalDiagnostic } from "./form.ts";
import { notFound } from "./not-found.ts";
import type { Selection } from "./selection.ts";
import type { WatchSpec } from "./spec.ts";
import type { Surroundings } from "./surroundings.ts";

/** What a watch says of itself. */
export interface EndingWatch {
  readonly spec: WatchSpec;
  readonly selection: Selection;
  /** Everything wanted up to here was handed on. */
  readonly position: Position;
}

/** How a watch ends because its scope did. */
export class Ending {
  readonly #around: Surroundings;
  readonly #watch: EndingWatch;
  /** Whether the job of the scope existed at some time, as far as the watch saw, or had to. */
  #existed: boolean;

  constructor(around: Surroundings, watch: EndingWatch) {
    const { spec } = watch;
    this.#around = around;
    this.#watch = watch;
    this.#existed = !spec.waitIfMissing || notFound(around.log, spec.scope) === undefined;
  }

  /**
   * What a watch that was too slow to have the end of its job before the job was forgotten ends with: nothing can be said
   * of it any more. Undefined: the job is there, or waited for.
   */
  forgotten(): TerminalDiagnostic | undefined {
    const { spec, selection } = this.#watch;
    if (spec.scope.kind !== "job") return undefined;
    const error = notFound(this.#around.log, spec.scope);
    this.#existed ||= error === undefined || selection.ordinal > 0;
    if (error === undefined || !this.#existed) return undefined;
    return diagnosticOf(error, this.#around.cursors.encode(this.#watch.position, true));
  }

  /** What it ends with when the job, or every worker, of the scope has ended and the reader has had it all; undefined: not yet. */
  reached(): TerminalDiagnostic | undefined {
    const end = this.#around.endOf(this.#watch.spec.scope);
    // Committed is not yet flushed: the last events may still be on their way into the channel.
    if (end === undefined || this.#watch.position.sequence < end.sequence) return undefined;
    return end.diagnostic(this.#around.cursors.encode(this.#watch.position, true));
  }
}
