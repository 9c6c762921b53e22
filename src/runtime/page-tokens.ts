import { invalidRequest, type TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { hashId } from "../events/cursor.ts";

/*
 * Tokens of pages. Each begins with what its list is of, so that the token of another list is refused and not taken for a
 * place in this one; and each place has one token, so that what no answer gave is refused, too.
 */

/** The token of the page of workers after this one. */
export function workerPageToken(workerId: string): string {
  return `w${Buffer.from(workerId).toString("base64url")}`;
}

/** Id of the worker after which the page begins. @throws TailraceError `invalid_request`. */
export function workerOfPageToken(token: string): string {
  if (token.length > longestWorkerToken) throw unknownToken();
  const workerId = Buffer.from(token.slice(1), "base64url").toString();
  if (workerId === "" || workerPageToken(workerId) !== token) throw unknownToken();
  return workerId;
}

const longestWorkerToken = 1 + Math.ceil((limits.maxIdBytes * 4) / 3);

/** The token of the page after the job that was submitted at this sequence. */
export function jobPageToken(sequence: number): string {
  return `j${sequence.toString(36)}`;
}

/** Sequence before which the jobs of the page were submitted. @throws TailraceError `invalid_request`. */
export function sequenceOfPageToken(token: string): number {
  const sequence = /^j[0-9a-z]{1,11}$/.test(token) ? Number.parseInt(token.slice(1), 36) : Number.NaN;
  if (!Number.isSafeInteger(sequence) || jobPageToken(sequence) !== token) throw unknownToken();
  return sequence;
}

/** The token of the page of a worker's transcript that goes on after an entry. */
export function transcriptPageToken(workerId: string, entryNumber: number, newestFirst: boolean): string {
  return `t${(hashId(workerId) >>> 0).toString(36)}${newestFirst ? "-" : "."}${entryNumber}`;
}

/** Number of the entry after which the page begins. @throws TailraceError `invalid_request`, also for another worker or direction. */
export function entryOfPageToken(token: string, workerId: string, newestFirst: boolean): number {
  const [, digits] = /^t[0-9a-z]{1,7}[.-]([1-9]\d{0,14})$/.exec(token) ?? [];
  const entryNumber = Number(digits ?? Number.NaN);
  if (transcriptPageToken(workerId, entryNumber, newestFirst) === token) return entryNumber;
  if (transcriptPageToken(workerId, entryNumber, !newestFirst) === token) {
    throw invalidRequest("page_token", "the token is of a read in the other direction; leave newest_first as it was");
  }
  throw unknownToken();
}

function unknownToken(): TailraceError<"invalid_request"> {
  return invalidRequest("page_token", "use the token of the last answer to this request as it was received");
}
