import { randomUUID } from "node:crypto";
import { crc32 } from "node:zlib";
import { limits } from "../../../base/limits.ts";
import type { SnapshotCut } from "../fold/snapshot.ts";
import type { Meta } from "./meta.ts";

const key = "snapshot";

/** What the bucket says of the newest snapshot. */
interface SnapshotNote {
  /** Its own, so that two who write one at the same time keep out of each other's way. */
  readonly id: string;
  readonly generation: string;
  /** Sequence in the stream that it holds. */
  readonly through: number;
  readonly pieces: number;
  readonly checksum: number;
}

/** The newest snapshot of a log in its bucket, in pieces, replaced whole. */
export class Snapshots {
  readonly #meta: Meta;
  readonly #generation: string;

  constructor(meta: Meta, generation: bigint) {
    this.#meta = meta;
    this.#generation = generation.toString(16);
  }

  /** The newest one; undefined: there is none that can be used. */
  async read(): Promise<{ readonly through: number; readonly bytes: Uint8Array } | undefined> {
    for (;;) {
      const note = await this.#note();
      if (note === undefined || note.generation !== this.#generation) return undefined;
      const bytes = await this.#pieces(note);
      if (bytes !== undefined && crc32(bytes) === note.checksum) return { through: note.through, bytes };
      // It was replaced while its pieces were read, or is damaged.
      const now = await this.#note();
      if (now?.id === note.id) return undefined;
    }
  }

  /** Keeps a snapshot, unless a newer one is there. Gives the sequence in the stream that the one that is there holds. */
  async write(cut: SnapshotCut): Promise<number> {
    const { through } = cut;
    const before = await this.#meta.get(key);
    const noteBefore = before === undefined ? undefined : readNote(before.value);
    if (noteBefore?.generation === this.#generation && noteBefore.through >= through) {
      return noteBefore.through;
    }
    const id = randomUUID();
    let count = 0;
    let checksum = 0;
    try {
      for (const piece of cut.pieces()) {
        checksum = crc32(piece, checksum);
        for (let at = 0; at < piece.length; at += limits.natsMessageBytes) {
          await this.#meta.put(`${key}.${id}.${count++}`, piece.subarray(at, at + limits.natsMessageBytes));
        }
      }
    } catch (error) {
      // What there was room for is of no use, and would keep the reserve from being made whole.
      await this.#meta.clear(`${key}.${id}`).catch(() => undefined);
      throw error;
    }
    // Before this one is noted: who is writing one of these was overtaken by then, so that none is noted without its pieces.
    const others = new Set((await this.#meta.keysBelow(key)).map((piece) => piece.split(".")[0] as string));
    others.delete(id);
    const note: SnapshotNote = { id, generation: this.#generation, through, pieces: count, checksum };
    const text = new TextEncoder().encode(JSON.stringify(note));
    const isNewest = (await this.#meta.swap(key, text, before?.revision, true)) !== undefined;
    // Also those of keepers that were killed while they wrote them.
    for (const obsolete of isNewest ? others : [id]) await this.#meta.clear(`${key}.${obsolete}`);
    return isNewest ? through : await this.through();
  }

  /** Sequence in the stream that the newest one holds; 0: there is none that can be used. */
  async through(): Promise<number> {
    const note = await this.#note();
    return note?.generation === this.#generation ? note.through : 0;
  }

  async #note(): Promise<SnapshotNote | undefined> {
    const entry = await this.#meta.get(key);
    return entry === undefined ? undefined : readNote(entry.value);
  }

  async #pieces(note: SnapshotNote): Promise<Uint8Array | undefined> {
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < note.pieces; i++) {
      const piece = await this.#meta.get(`${key}.${note.id}.${i}`);
      if (piece === undefined) return undefined;
      pieces.push(piece.value);
    }
    return Buffer.concat(pieces);
  }
}

function readNote(bytes: Uint8Array): SnapshotNote {
  return JSON.parse(new TextDecoder().decode(bytes)) as SnapshotNote;
}
