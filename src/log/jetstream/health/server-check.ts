import { errors as natsErrors } from "@nats-io/transport-node";
import { flawOf, type NatsLink } from "../connection/connect.ts";
import { missingRight, writesOf } from "../connection/rights.ts";
import { subjectsOf } from "../stream/subjects.ts";
import type { Availability } from "./availability.ts";

/** Milliseconds until it is tried again whether NATS lets the log write, and until a server that is unfit is left for another. */
const againMs = 2_000;

/**
 * Whether the server of NATS that a log is connected to takes what the log writes. It is looked at after every connection,
 * since it may be another server or have another configuration than the one at which the log was opened, and when a
 * write is refused. Without it every append would fail, of which nobody but publishers would hear.
 */
export class ServerCheck {
  readonly #link: NatsLink;
  readonly #namespace: string;
  readonly #availability: Availability;
  #timer: NodeJS.Timeout | undefined;
  #trying = false;
  #isDenied = false;

  /** It ends with the connection. */
  constructor(link: NatsLink, namespace: string, availability: Availability) {
    this.#link = link;
    this.#namespace = namespace;
    this.#availability = availability;
    link.subscribe((connected) => {
      if (connected) this.#look();
    });
    void this.#watch();
    void link.connection.closed().then(() => clearTimeout(this.#timer));
  }

  #look(): void {
    const { connection } = this.#link;
    const flaw = flawOf("The NATS server of the log", connection.info);
    if (flaw === undefined) {
      this.#availability.has("server");
      void this.#tryToWrite();
      return;
    }
    this.#availability.misses("server", flaw.message);
    // A server says what it takes to new connections only, and another one may take more.
    this.#later(() => void connection.reconnect().catch(() => undefined));
  }

  async #watch(): Promise<void> {
    const own = subjectsOf(this.#namespace).slice(0, -1);
    for await (const status of this.#link.connection.status()) {
      if (status.type !== "error") continue;
      const { error } = status;
      if (!(error instanceof natsErrors.PermissionViolationError) || error.operation !== "publish") continue;
      // It may be one worker's subject that is denied. Attempts of its own are not heard again.
      if (error.subject.startsWith(own) && !this.#isDenied) void this.#tryToWrite();
    }
  }

  async #tryToWrite(): Promise<void> {
    if (this.#trying) return;
    this.#trying = true;
    const refusal = await missingRight(this.#link.connection, writesOf(this.#namespace));
    this.#trying = false;
    // What was not answered says nothing; the next connection is looked at.
    if (this.#link.awaySinceMs !== undefined) return;
    this.#isDenied = refusal !== undefined;
    if (refusal === undefined) {
      this.#availability.has("right");
      return;
    }
    this.#availability.misses(
      "right",
      `NATS does not let this server write to the log: it has no permission for publishing to ${subjectsOf(this.#namespace)}.`,
    );
    // Nothing is appended any more, so nothing else would show that it can be again.
    this.#later(() => void this.#tryToWrite());
  }

  #later(act: () => void): void {
    const { connection } = this.#link;
    if (connection.isClosed()) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (!connection.isClosed()) act();
    }, againMs).unref();
  }
}
