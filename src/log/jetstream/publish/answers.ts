import { createInbox, type Msg, errors as natsErrors } from "@nats-io/transport-node";
import type { NatsLink } from "../connection/connect.ts";

/** What the stream says to a group that it refuses, as the JetStream API has it. */
export interface Refusal {
  readonly code: number;
  readonly err_code: number;
  readonly description: string;
}

/** Hears of answers, and must not throw. */
export interface AnswerListener {
  /** The stream took a group that was sent in a life; its last message has a sequence there. */
  taken(number: number, life: number, sequence: number): void;
  /** The stream refused a group. */
  refused(number: number, life: number, refusal: Refusal): void;
  /** Nobody is there who could take a group. */
  unheard(number: number, life: number, error: Error): void;
  /** This server may not publish to a subject. */
  denied(subject: string, error: Error): void;
}

const noResponders = 503;

/** What the stream says to a group. */
interface Answer {
  readonly error?: Refusal;
  readonly seq?: number;
}

/**
 * What NATS answers to groups that were published, each on a subject of its own below one subscription. The client's own
 * requests take a timer, several promises and an error with its stack for each, even for those that go well.
 */
export class Answers {
  readonly #prefix = `${createInbox()}.`;
  readonly #listener: AnswerListener;

  /** They end with the connection. */
  constructor({ connection }: NatsLink, listener: AnswerListener) {
    this.#listener = listener;
    connection.subscribe(`${this.#prefix}*`, {
      callback: (error, message) => {
        // Not allowed: whoever waits for an answer does so in vain, and gives up in time.
        if (error === null) this.#take(message);
      },
    });
    void this.#watch(connection.status());
  }

  /** Where the answer to a group goes that is sent in a life. */
  subjectFor(number: number, life: number): string {
    return `${this.#prefix}${number}-${life}`;
  }

  #take(message: Msg): void {
    const name = message.subject.slice(this.#prefix.length);
    const dash = name.indexOf("-");
    const number = Number(name.slice(0, dash));
    const life = Number(name.slice(dash + 1));
    const { data } = message;
    if (data.length === 0 && message.headers?.code === noResponders) {
      this.#listener.unheard(number, life, new natsErrors.NoRespondersError("the log's stream"));
      return;
    }
    let answer: Answer;
    try {
      answer = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString());
    } catch {
      // Whoever said that, it was not the stream.
      return;
    }
    if (answer.error !== undefined) this.#listener.refused(number, life, answer.error);
    else this.#listener.taken(number, life, answer.seq ?? 0);
  }

  async #watch(statuses: ReturnType<NatsLink["connection"]["status"]>): Promise<void> {
    for await (const status of statuses) {
      if (status.type !== "error") continue;
      const { error } = status;
      if (!(error instanceof natsErrors.PermissionViolationError) || error.operation !== "publish") continue;
      this.#listener.denied(error.subject, error);
    }
  }
}
