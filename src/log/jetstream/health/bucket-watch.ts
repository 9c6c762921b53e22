import type { ReportError } from "../../../base/incident.ts";
import { limits } from "../../../base/limits.ts";
import { isNoAnswer } from "../errors.ts";
import { bucketStreamOf } from "../stream/subjects.ts";

/**
 * Whether NATS answers for the bucket of a log while it does for the log's stream. Without it a server serves, but nobody
 * looks after the stream, which the operator would hear of from nothing else until it is full.
 */
export class BucketWatch {
  readonly #stream: string;
  readonly #report: ReportError;
  /** When the first question was asked of those in a row that nobody answered; undefined: the last one was answered. */
  #silentSinceMs: number | undefined;
  #isSaid = false;

  constructor(namespace: string, report: ReportError) {
    this.#stream = bucketStreamOf(namespace);
    this.#report = report;
  }

  /** Asks the bucket something. @throws what `question` throws. */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    const askedAtMs = performance.now();
    try {
      const answer = await question();
      this.#answered();
      return answer;
    } catch (error) {
      if (isNoAnswer(error)) this.#silent(askedAtMs, error);
      throw error;
    }
  }

  /** NATS does not answer for the log's stream either, which is said elsewhere. */
  forget(): void {
    this.#silentSinceMs = undefined;
  }

  #silent(askedAtMs: number, cause: unknown): void {
    this.#silentSinceMs ??= askedAtMs;
    if (this.#isSaid || performance.now() - this.#silentSinceMs < limits.natsSilentMs) return;
    this.#isSaid = true;
    this.#report(
      new Error(
        `NATS does not answer for ${this.#stream}: too few of the servers that hold it are up. Events go on, but until it answers nobody looks after the log, which grows, and no server can be started.`,
        { cause },
      ),
    );
  }

  #answered(): void {
    this.#silentSinceMs = undefined;
    if (!this.#isSaid) return;
    this.#isSaid = false;
    this.#report(new Error(`NATS answers for ${this.#stream} again. The log is looked after.`));
  }
}
