import type { FileSystem } from "./file-system.ts";
import { type Durability, type IdentityRecord, type KeptEpochs, writeIdentity } from "./identity.ts";

/** Sequences reserved at once: what an unclean end may skip, and what one synced write is spent on. */
const reservationStep = 1 << 20;

/**
 * Keeps the identity of an open log up to date: sequences are reserved with a synced write, in every mode, before they are
 * given out, so that none is ever given out twice.
 */
export class Reservation {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  #record: IdentityRecord;
  #writing: Promise<void> | undefined;

  private constructor(fileSystem: FileSystem, directory: string, record: IdentityRecord) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#record = record;
  }

  /** Begins a session: from here on an end without `finish` is an unclean one. */
  static async begin(
    fileSystem: FileSystem,
    directory: string,
    session: {
      runtimeId: string;
      generation: bigint;
      durability: Durability;
      bootId: string;
      birthTime: string;
      epochs: KeptEpochs;
      nextSequence: number;
      headSequence: number;
    },
  ): Promise<Reservation> {
    const { nextSequence, headSequence, ...rest } = session;
    const record = {
      ...rest,
      reservedThrough: nextSequence - 1 + reservationStep,
      highWater: headSequence,
      clean: false,
    };
    await writeIdentity(fileSystem, directory, record);
    return new Reservation(fileSystem, directory, record);
  }

  /** Reserves through `sequence` and, while that goes on in the background, well beyond. */
  async require(sequence: number, headSequence: number): Promise<void> {
    if (sequence > this.#record.reservedThrough) {
      await this.settle();
      if (sequence > this.#record.reservedThrough) await this.#extend(sequence, headSequence);
    } else if (sequence > this.#record.reservedThrough - reservationStep / 2 && this.#writing === undefined) {
      // Failing here is no harm yet: it is tried again, and reported, when the sequences are needed.
      this.#extend(sequence, headSequence).catch(() => undefined);
    }
  }

  /** Notes how far the log has come, so that one restored from before that is noticed. */
  async note(headSequence: number): Promise<void> {
    if (this.#writing === undefined) await this.#write({ ...this.#record, highWater: headSequence });
  }

  /** Ends the session in order. */
  async finish(headSequence: number): Promise<void> {
    await this.#writing?.catch(() => undefined);
    const record = { ...this.#record, reservedThrough: headSequence, highWater: headSequence, clean: true };
    await writeIdentity(this.#fileSystem, this.#directory, record);
  }

  /** Waits for what is under way. */
  async settle(): Promise<void> {
    await this.#writing?.catch(() => undefined);
  }

  #extend(sequence: number, headSequence: number): Promise<void> {
    return this.#write({ ...this.#record, reservedThrough: sequence + reservationStep, highWater: headSequence });
  }

  #write(record: IdentityRecord): Promise<void> {
    const writing = writeIdentity(this.#fileSystem, this.#directory, record)
      .then(() => {
        this.#record = record;
      })
      .finally(() => {
        this.#writing = undefined;
      });
    this.#writing = writing;
    return writing;
  }
}
