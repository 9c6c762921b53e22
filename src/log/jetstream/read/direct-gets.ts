import { type DirectStreamAPI, JetStreamError } from "@nats-io/jetstream";
import { createInbox, type Msg, errors as natsErrors } from "@nats-io/transport-node";
import { limits } from "../../../base/limits.ts";
import type { NatsLink } from "../connection/connect.ts";

/** Statuses of an answer that is none of the messages. */
const noSuchMessage = 404;
const noResponders = 503;
const endOfBatch = 204;

const sequenceHeader = "Nats-Sequence";

/** A message of the stream, as it was asked for. */
export interface StoredMessage {
  readonly seq: number;
  readonly data: Uint8Array;
}

/**
 * Asks any server of NATS that has the stream for messages in a row. The client's own way parses the headers of each
 * message, keeps a subscription of every question for good, and waits for ever for the rest of an answer.
 */
export class DirectGets {
  readonly #link: NatsLink;
  readonly #client: DirectStreamAPI;

  constructor(link: NatsLink, client: DirectStreamAPI) {
    this.#link = link;
    this.#client = client;
  }

  getMessage(stream: string, { seq }: { readonly seq: number }): Promise<StoredMessage | null> {
    return this.#client.getMessage(stream, { seq });
  }

  /**
   * The next messages from a sequence on, in order: at most `batch`, and not many more bytes than `natsReadBytes`, so there
   * may be more of them.
   * @throws what the client throws: TimeoutError, NoRespondersError, JetStreamError, ClosedConnectionError.
   */
  async getBatch(
    stream: string,
    { seq, batch }: { readonly seq: number; readonly batch: number },
  ): Promise<readonly StoredMessage[]> {
    return storedMessages(await this.#ask(stream, { seq, batch, max_bytes: limits.natsReadBytes }), seq);
  }

  #ask(stream: string, question: object): Promise<readonly Msg[]> {
    const { connection } = this.#link;
    return new Promise((resolve, reject) => {
      const messages: Msg[] = [];
      const end = (error: Error | undefined): void => {
        clearTimeout(timer);
        stopListening();
        subscription.unsubscribe();
        if (error === undefined) resolve(messages);
        else reject(error);
      };
      const timer = setTimeout(() => end(new natsErrors.TimeoutError()), limits.natsAnswerMs);
      const stopListening = this.#link.subscribe((connected) => {
        // What was on its way is lost.
        if (!connected) end(new natsErrors.ClosedConnectionError());
      });
      const subject = `$JS.API.DIRECT.GET.${stream}`;
      const inbox = createInbox();
      const subscription = connection.subscribe(inbox, {
        callback(error, message) {
          if (error !== null) end(error);
          // Only what is empty may be something else than a message: headers are dear to read.
          else if (message.data.length > 0 || (message.headers?.code ?? 0) === 0) messages.push(message);
          else end(errorOf(message, subject));
        },
      });
      try {
        connection.publish(subject, JSON.stringify(question), { reply: inbox });
      } catch (error) {
        end(error as Error);
      }
    });
  }
}

/** What the end of an answer says; undefined: that was all. */
function errorOf({ headers }: Msg, subject: string): Error | undefined {
  const { code = 0, description = "" } = headers ?? {};
  if (code === endOfBatch || code === noSuchMessage) return undefined;
  if (code === noResponders) return new natsErrors.NoRespondersError(subject);
  return new JetStreamError(`NATS does not give messages of the stream: ${code} ${description}`);
}

function storedMessages(messages: readonly Msg[], first: number): readonly StoredMessage[] {
  const last = messages.at(-1);
  // They are in order, so the sequence of the last one says whether any is missing between.
  const isWhole = last !== undefined && sequenceOf(last) === first + messages.length - 1;
  return messages.map((message, i) => ({ seq: isWhole ? first + i : sequenceOf(message), data: message.data }));
}

function sequenceOf({ headers }: Msg): number {
  return Number(headers?.get(sequenceHeader));
}
