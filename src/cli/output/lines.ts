import { TextDecoder } from "node:util";

/** Characters of an unfinished line, and unfinished lines, that are held back at the most. */
const maxHeldCharacters = 8 * 1024;
const maxHeldLines = 1_000;

interface Held {
  readonly decoder: TextDecoder;
  text: string;
  /** A carriage return at the end of what was seen: whether a newline follows decides what it means. */
  endsInReturn: boolean;
}

/**
 * Makes lines of output that arrives in pieces, which end anywhere, also inside a character. A line is given when it is
 * whole, when it grows too long, or when `flush` says that nothing better will come.
 */
export class LineAssembler {
  readonly #held = new Map<string, Held>();

  /** The lines that a piece completes. `key` tells the outputs apart. */
  push(key: string, bytes: Uint8Array): string[] {
    const held = this.#hold(key);
    let text = held.text + held.decoder.decode(bytes, { stream: true });
    // "\r\n" is one end of line also where the piece was cut between its halves.
    if (held.endsInReturn && text.startsWith("\n")) text = text.slice(1);
    held.endsInReturn = text.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    held.text = lines.pop() as string;
    if (held.text.length > maxHeldCharacters) {
      lines.push(held.text);
      held.text = "";
    }
    return lines;
  }

  /** Keys whose last line is unfinished. */
  unfinished(): string[] {
    return [...this.#held].filter(([, held]) => held.text !== "").map(([key]) => key);
  }

  isUnfinished(key: string): boolean {
    return (this.#held.get(key)?.text ?? "") !== "";
  }

  /** The unfinished line of an output; undefined: there is none. What comes later begins a new line. */
  flush(key: string): string | undefined {
    const held = this.#held.get(key);
    if (held === undefined || held.text === "") return undefined;
    const { text } = held;
    held.text = "";
    return text;
  }

  /** Forgets an output that is over, and gives its last line if that is unfinished or ends inside a character. */
  end(key: string): string | undefined {
    const held = this.#held.get(key);
    if (held === undefined) return undefined;
    this.#held.delete(key);
    const text = held.text + held.decoder.decode();
    return text === "" ? undefined : text;
  }

  /** Whether another output would make too many; the oldest key is to be ended first. */
  oldestIfFull(): string | undefined {
    return this.#held.size < maxHeldLines ? undefined : this.#held.keys().next().value;
  }

  #hold(key: string): Held {
    let held = this.#held.get(key);
    if (held === undefined) {
      held = { decoder: new TextDecoder(), text: "", endsInReturn: false };
      this.#held.set(key, held);
    }
    return held;
  }
}
