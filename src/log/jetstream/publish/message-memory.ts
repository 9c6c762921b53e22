import { limits } from "../../../base/limits.ts";
import { BinaryWriter } from "../../binary.ts";

/**
 * Memory that messages are written to and sent from. That of a message which everyone has serves again: V8 looks through all that
 * it holds whenever enough memory outside of its heap was taken, and messages are as much as all that is published.
 */
export class MessageMemory {
  readonly #spare: BinaryWriter[] = [];
  #spareBytes = 0;

  take(): BinaryWriter {
    const memory = this.#spare.pop();
    if (memory === undefined) return new BinaryWriter();
    this.#spareBytes -= memory.capacity;
    return memory;
  }

  /**
   * The message in it was read by NATS, so the client has nothing left to send of it. One that was given up on must not come here:
   * the client may still send it over its next connection.
   */
  giveBack(memory: BinaryWriter): void {
    if (this.#spareBytes + memory.capacity > limits.natsSpareMessageBytes) return;
    this.#spare.push(memory);
    this.#spareBytes += memory.capacity;
  }
}
