import { limits } from "../../../base/limits.ts";
import { parseWriter } from "../stream/writer-name.ts";

/**
 * Which life each server is in. What comes of one before is left out by everyone, so that appends of a server are in the log in
 * the order in which it sent them, and it knows what became of each: what was not there before its next life will never be.
 */
export class Lives {
  /** Of servers that are not in their first one, by server, oldest first. */
  readonly #newest = new Map<string, number>();
  /** Who was heard last, and is not over. */
  #last = "";

  entries(): Iterable<readonly [string, number]> {
    return this.#newest;
  }

  get size(): number {
    return this.#newest.size;
  }

  restore(lives: Iterable<readonly [string, number]>): void {
    for (const [server, life] of lives) this.#newest.set(server, life);
  }

  /** Something of a writer has come. Whether it is left out, because its server was heard in a later life. */
  isOver(writer: string): boolean {
    if (writer === this.#last) return false;
    const { server, life } = parseWriter(writer);
    const newest = this.#newest.get(server) ?? 0;
    if (life < newest) return true;
    this.#last = writer;
    if (life > newest) this.#begin(server, life);
    return false;
  }

  #begin(server: string, life: number): void {
    this.#newest.delete(server);
    this.#newest.set(server, life);
    for (const [oldest] of this.#newest) {
      if (this.#newest.size <= limits.natsRememberedServers) return;
      this.#newest.delete(oldest);
    }
  }
}
