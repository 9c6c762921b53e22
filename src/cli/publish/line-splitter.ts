import { invalidRequest } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";

/** Bytes of one line at the most: the largest event, whose bytes take a third more as base64, and its field names. */
export const maxLineBytes = 2 * limits.maxEventBytes;

/** A line of the input. */
export interface InputLine {
  /** From 1. */
  readonly number: number;
  /** With its newline, which only the last line may lack. */
  readonly bytes: Buffer;
}

/** Cuts input into lines, however its pieces fall. @throws TailraceError `invalid_request` for a line that is too long. */
export async function* splitLines(input: AsyncIterable<Buffer>): AsyncGenerator<InputLine[]> {
  let number = 0;
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const piece of input) {
    const lines: InputLine[] = [];
    let from = 0;
    for (let newline = piece.indexOf(10); newline !== -1; newline = piece.indexOf(10, from)) {
      const end = piece.subarray(from, newline + 1);
      number++;
      if (restBytes + end.length > maxLineBytes) throw tooLong(number);
      lines.push({ number, bytes: rest.length === 0 ? end : Buffer.concat([...rest, end]) });
      rest = [];
      restBytes = 0;
      from = newline + 1;
    }
    if (from < piece.length) {
      rest.push(piece.subarray(from));
      restBytes += piece.length - from;
    }
    if (lines.length > 0) yield lines;
    if (restBytes > maxLineBytes) throw tooLong(number + 1);
  }
  if (restBytes > 0) yield [{ number: number + 1, bytes: Buffer.concat(rest) }];
}

function tooLong(number: number) {
  return invalidRequest(`line ${number}`, `it has more than ${maxLineBytes} bytes, more than an event can hold`);
}
