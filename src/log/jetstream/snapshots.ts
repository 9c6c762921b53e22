import { crc32 } from "node:zlib";
import type { Meta } from "./meta.ts";

const key = "snapshot";

/** Bytes of a piece: a server takes 1 MiB unless it was told otherwise. */
const pieceBytes = 512 * 1024;

/** What the bucket says of the newest snapshot. */
interface SnapshotNote {
  /** Which of two places its pieces are in, so that removing them leaves no more than so many names behind. */
  readonly place: "a" | "b";
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
      if (now?.through === note.through) return undefined;
    }
  }

  /** Keeps a snapshot, unless a newer one is there. */
  async write(through: number, bytes: Uint8Array): Promise<void> {
    const before = await this.#meta.get(key);
    const noteBefore = before === undefined ? undefined : readNote(before.value);
    if (noteBefore?.generation === this.#generation && noteBefore.through >= through) return;
    const place = noteBefore?.place === "a" ? "b" : "a";
    const pieces = Math.ceil(bytes.length / pieceBytes);
    for (let i = 0; i < pieces; i++) {
      await this.#meta.put(`${key}.${place}.${i}`, bytes.subarray(i * pieceBytes, (i + 1) * pieceBytes));
    }
    const note: SnapshotNote = { place, generation: this.#generation, through, pieces, checksum: crc32(bytes) };
    const text = new TextEncoder().encode(JSON.stringify(note));
    // Another one that wrote at the same time wrote to the same place: its checksum tells whose pieces are there.
    if ((await this.#meta.swap(key, text, before?.revision)) === undefined || noteBefore === undefined) return;
    for (let i = 0; i < noteBefore.pieces; i++) await this.#meta.remove(`${key}.${noteBefore.place}.${i}`);
  }

  async #note(): Promise<SnapshotNote | undefined> {
    const entry = await this.#meta.get(key);
    return entry === undefined ? undefined : readNote(entry.value);
  }

  async #pieces(note: SnapshotNote): Promise<Uint8Array | undefined> {
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < note.pieces; i++) {
      const piece = await this.#meta.get(`${key}.${note.place}.${i}`);
      if (piece === undefined) return undefined;
      pieces.push(piece.value);
    }
    return Buffer.concat(pieces);
  }
}

function readNote(bytes: Uint8Array): SnapshotNote {
  return JSON.parse(new TextDecoder().decode(bytes)) as SnapshotNote;
}
