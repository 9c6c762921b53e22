/** What is known of another server. */
interface Member {
  /** Beats of this server since the other one was heard last. */
  missed: number;
}

/**
 * The servers that share a log, as the order of their beats in it tells: a server counts its own committed beats, and one
 * that was not heard for so many of them is lost. No clock is compared, so neither an outage of the log, in which nobody is
 * heard, nor a pause of the one that counts makes anyone lost.
 */
export class Members {
  readonly #lostAfter: number;
  readonly #others = new Map<string, Member>();
  #beat = 0;

  /** `lostAfter`: beats of this server, at least 1. */
  constructor(lostAfter: number) {
    this.#lostAfter = lostAfter;
  }

  /** This server's own beat was committed. One that was committed already says nothing more. */
  beat(number: number): void {
    if (number <= this.#beat) return;
    this.#beat = number;
    for (const member of this.#others.values()) member.missed++;
  }

  /** Another server was heard. */
  heard(id: string): void {
    this.#others.set(id, { missed: 0 });
  }

  /** Another server has left, or somebody has found it lost. */
  gone(id: string): void {
    this.#others.delete(id);
  }

  has(id: string): boolean {
    return this.#others.has(id);
  }

  isLost(id: string): boolean {
    return (this.#others.get(id)?.missed ?? 0) >= this.#lostAfter;
  }

  /** Servers that are lost and not yet gone. */
  get lost(): readonly string[] {
    return [...this.#others.keys()].filter((id) => this.isLost(id));
  }
}
