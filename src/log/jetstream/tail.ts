import { type ConsumerMessages, DeliverPolicy, type JetStreamClient, type JsMsg } from "@nats-io/jetstream";
import type { StreamMessage } from "./fold.ts";

/** Messages that NATS sends ahead. */
const maxAhead = 1_000;

/** The one tail that a server has of the stream: every message from a sequence on, in order. */
export class StreamTail {
  readonly #messages: ConsumerMessages;

  private constructor(messages: ConsumerMessages) {
    this.#messages = messages;
  }

  /** `take` must not throw. */
  static async open(
    client: JetStreamClient,
    stream: string,
    from: number,
    take: (message: StreamMessage) => void,
  ): Promise<StreamTail> {
    const consumer = await client.consumers.get(stream, {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: from,
    });
    const callback = (message: JsMsg) =>
      take({
        sequence: message.seq,
        timeMs: Math.floor(message.info.timestampNanos / 1_000_000),
        payload: message.data,
      });
    return new StreamTail(await consumer.consume({ callback, max_messages: maxAhead }));
  }

  async close(): Promise<void> {
    await this.#messages.close();
  }
}
