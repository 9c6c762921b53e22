import { randomUUID } from "node:crypto";
import { parseWriter, writerName } from "../stream/writer-name.ts";

/** What was sent in one life of this server. */
interface Sent {
  readonly life: number;
  /** Undefined: it is no probe, which says nothing and may come whenever it does. */
  readonly probes?: unknown;
}

/**
 * Which life this server is in, and so under which name it writes. From the first group of the next one on all that was sent before
 * and comes later is left out, by everyone.
 */
export class OwnLife {
  readonly #server = randomUUID();
  #number = 0;
  #writer = writerName({ server: this.#server, life: 0 });
  /** Whether something may be on its way that was sent in a life before. */
  #waits = false;
  /** The life in which it was asked last what has become of that. */
  #askedIn = 0;

  get number(): number {
    return this.#number;
  }

  get writer(): string {
    return this.#writer;
  }

  begin(): void {
    this.#number++;
    this.#writer = writerName({ server: this.#server, life: this.#number });
    this.#waits = true;
  }

  /** Whether what is sent now could overtake what was sent in a life before, or would have to be made again with that. */
  isHeldBy(sent: { groups(): readonly Sent[] }): boolean {
    if (!this.#waits) return false;
    this.#waits = sent.groups().some(({ life, probes }) => life < this.#number && probes === undefined);
    return this.#waits;
  }

  /** Whether it is still to be asked what has become of that. Once in a life is enough. */
  mayAsk(): boolean {
    if (this.#askedIn === this.#number) return false;
    this.#askedIn = this.#number;
    return true;
  }

  /** Something of a writer was folded. In which life of this server it was sent, if that tells what became of those before. */
  tells(writer: string): number | undefined {
    if (!this.#waits) return undefined;
    const { server, life } = parseWriter(writer);
    return server === this.#server ? life : undefined;
  }
}
