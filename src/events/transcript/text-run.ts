/**
 * A run of a text that comes in pieces: what lies between two offsets, in UTF-8 bytes. Offsets are kept beside the text,
 * because to count the bytes of all of it with every piece would take longer the longer it grows.
 */
export interface TextRun {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

export const emptyRun: TextRun = { text: "", start: 0, end: 0 };

/** Larger offsets can't be counted exactly; no text is that long. */
const maxOffset = 2 ** 52;

/**
 * Puts a piece at its offset. What is there already stays: of a piece that overlaps it, only what lies beyond its end
 * counts, so the same piece twice changes nothing. A piece that leaves a hole begins the run anew: what came before the
 * hole would read as if nothing were missing. Gives the same object if nothing changed.
 */
export function putPiece(run: TextRun, at: bigint, piece: string, maxBytes: number): TextRun {
  const offset = Number(at);
  if (offset > maxOffset) return run;
  const end = offset + utf8Length(piece);
  if (end <= run.end) return run;
  if (offset > run.end) return bounded({ text: piece, start: offset, end }, maxBytes);
  const added = offset === run.end ? piece : piece.slice(indexAtByte(piece, run.end - offset));
  return bounded({ text: run.text + added, start: run.start, end }, maxBytes);
}

/** A text as a run of its own. */
export function wholeRun(text: string, maxBytes: number): TextRun {
  return bounded({ text, start: 0, end: utf8Length(text) }, maxBytes);
}

/** The end of a text, at most this many UTF-8 bytes. */
export function endOfText(text: string, maxBytes: number): string {
  return text.slice(indexOfEnd(text, maxBytes));
}

/** UTF-8 bytes of a text. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) continue;
    // Each half of a surrogate pair adds one byte to the unit that it is counted as, which makes four.
    length += code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 1 : 2;
  }
  return length;
}

/** Of a run that has grown too long only the newest half is kept, so that it is not cut anew with every piece. */
function bounded(run: TextRun, maxBytes: number): TextRun {
  if (run.end - run.start <= maxBytes) return run;
  const text = endOfText(run.text, maxBytes >> 1);
  return { text, start: run.end - utf8Length(text), end: run.end };
}

/** The index of the first whole character that begins at a byte or after it. */
function indexAtByte(text: string, byte: number): number {
  let at = 0;
  let index = 0;
  while (index < text.length && at < byte) {
    const code = text.codePointAt(index) as number;
    at += utf8Width(code);
    index += code > 0xffff ? 2 : 1;
  }
  return index;
}

/** The index at which the longest end of a text begins that has at most this many bytes and whole characters. */
function indexOfEnd(text: string, maxBytes: number): number {
  let bytes = 0;
  let index = text.length;
  while (index > 0) {
    const low = text.charCodeAt(index - 1);
    const paired = low >= 0xdc00 && low < 0xe000 && index > 1;
    const width = paired ? 4 : utf8Width(low);
    if (bytes + width > maxBytes) break;
    bytes += width;
    index -= paired ? 2 : 1;
  }
  return index;
}

function utf8Width(codePoint: number): number {
  if (codePoint < 0x80) return 1;
  if (codePoint < 0x800) return 2;
  return codePoint < 0x10000 ? 3 : 4;
}
