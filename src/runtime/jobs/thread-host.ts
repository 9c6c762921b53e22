import { BroadcastChannel } from "node:worker_threads";
import { type ReportError, toTailraceError } from "../../base/incident.ts";
import { decodeNewEvent } from "../prepared-batch.ts";
import type { JobLink } from "./context.ts";
import { channelName, type FromThread, type ToThread } from "./thread-messages.ts";

/** The runtime's end of the channel to the worker threads of a job. */
export class ThreadHost {
  readonly #channel: BroadcastChannel;
  readonly #link: JobLink;
  readonly #report: ReportError;

  constructor(token: string, link: JobLink, report: ReportError) {
    this.#link = link;
    this.#report = report;
    this.#channel = new BroadcastChannel(channelName(token));
    // A job must not keep a process alive that is about to end.
    this.#channel.unref();
    this.#channel.onmessage = ({ data }: { data: unknown }) => this.#hear(data as FromThread | ToThread);
    link.signal.addEventListener("abort", this.#sayAborted);
  }

  close(): void {
    this.#link.signal.removeEventListener("abort", this.#sayAborted);
    this.#say({ kind: "ended" });
    this.#channel.close();
  }

  #hear(message: FromThread | ToThread): void {
    if (message.kind === "hello" && this.#link.signal.aborted) this.#sayAborted();
    if (message.kind === "publish") void this.#publish(message);
  }

  async #publish({ from: to, id, event }: FromThread & { kind: "publish" }): Promise<void> {
    try {
      const receipt = await this.#link.publish(decodeNewEvent(event, 0));
      this.#say({ kind: "published", to, id, receipt });
    } catch (cause) {
      this.#link.refused(cause);
      const { reason, details, message } = toTailraceError(cause, this.#report);
      this.#say({ kind: "refused", to, id, error: { reason, details, message } });
    }
  }

  readonly #sayAborted = () => {
    const { name, message } = this.#link.signal.reason as Error;
    this.#say({ kind: "aborted", name, message });
  };

  #say(message: ToThread): void {
    this.#channel.postMessage(message);
  }
}
