import { type ConsumerMessages, DeliverPolicy, type JetStreamClient, type JsMsg } from "@nats-io/jetstream";
import { limits } from "../../../base/limits.ts";
import type { NatsLink } from "../connection/connect.ts";
import type { StreamMessage } from "./assembly.ts";

/** Milliseconds that a question for messages stands. NATS says that it lives twice in that time; silence twice is too long. */
const askMs = 3_000;
const againMs = 250;

/** A message as NATS sends it. */
export interface TailMessage extends Omit<StreamMessage, "timeMs"> {
  /** When the stream took it, in milliseconds since the epoch, with fractions of some hundred nanoseconds. */
  readonly takenAtMs: number;
}

/** Hears of a tail, and must not throw. */
export interface TailListener {
  take(message: TailMessage): void;
  /** Whether NATS sends what comes. */
  onRunning(isRunning: boolean): void;
}

/**
 * The one tail that a server has of the stream: every message from a sequence on, in order.
 *
 * What sends them lives on one server of NATS, without a copy. When that server dies nobody says that it is gone, and the
 * client asks for it for ever; so after silence, and after every new connection, another one is made that goes on from
 * the message that came last.
 */
export class StreamTail {
  readonly #client: JetStreamClient;
  readonly #stream: string;
  readonly #take: (message: TailMessage) => void;
  readonly #onRunning: (isRunning: boolean) => void;
  readonly #stopListening: () => void;
  /** Sequence of the message that comes next at the earliest. */
  #next: number;
  #messages: ConsumerMessages | undefined;
  #beginning: Promise<void> | undefined;
  #closed = false;

  private constructor(
    link: NatsLink,
    client: JetStreamClient,
    stream: string,
    from: number,
    { take, onRunning }: TailListener,
  ) {
    this.#client = client;
    this.#stream = stream;
    this.#take = take;
    this.#onRunning = onRunning;
    this.#next = from;
    this.#stopListening = link.subscribe((connected) => {
      if (connected) this.#beginAgain();
      else onRunning(false);
    });
  }

  static async open(
    link: NatsLink,
    client: JetStreamClient,
    stream: string,
    from: number,
    listener: TailListener,
  ): Promise<StreamTail> {
    const tail = new StreamTail(link, client, stream, from, listener);
    try {
      await tail.#begin();
      return tail;
    } catch (error) {
      await tail.close();
      throw error;
    }
  }

  /** Makes what sends the messages anew. */
  again(): void {
    if (!this.#closed) this.#beginAgain();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    await this.#beginning;
    await this.#messages?.close();
  }

  async #begin(): Promise<void> {
    const consumer = await this.#client.consumers.get(this.#stream, {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#next,
    });
    if (this.#closed) return;
    let own: ConsumerMessages | undefined;
    const callback = (message: JsMsg) => {
      // What was made before may not have heard yet that it is over.
      if (message.seq < this.#next || (own !== undefined && own !== this.#messages)) return;
      this.#next = message.seq + 1;
      this.#take({
        sequence: message.seq,
        takenAtMs: message.info.timestampNanos / 1_000_000,
        payload: message.data,
      });
    };
    own = await consumer.consume({ callback, max_messages: limits.natsTailAhead, expires: askMs });
    this.#messages = own;
    void this.#listen(own);
  }

  async #listen(messages: ConsumerMessages): Promise<void> {
    for await (const { type } of messages.status()) {
      if (type === "heartbeats_missed" && messages === this.#messages) this.#beginAgain();
    }
  }

  #beginAgain(): void {
    this.#beginning ??= this.#insist().finally(() => {
      this.#beginning = undefined;
    });
  }

  async #insist(): Promise<void> {
    this.#onRunning(false);
    // Not waited for: it may ask the server that is gone.
    void this.#messages?.close().catch(() => undefined);
    this.#messages = undefined;
    while (!this.#closed) {
      try {
        await this.#begin();
        if (!this.#closed) this.#onRunning(true);
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, againMs));
      }
    }
  }
}
