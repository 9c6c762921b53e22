import { create } from "@bufbuild/protobuf";
import {
  type GetTranscriptResponse,
  GetTranscriptResponseSchema,
  type TranscriptFold,
  TranscriptFoldSchema,
} from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { totalSize, withinLimits } from "./draft.ts";
import { EntryList } from "./entry-list.ts";
import type { TranscriptLimits, TranscriptState } from "./state.ts";

/** What a page says beside its entries. */
export function foldMessage(state: TranscriptState): TranscriptFold {
  return create(TranscriptFoldSchema, {
    sequence: BigInt(state.sequence),
    revisionSequence: BigInt(state.revision),
    replacedSequence: BigInt(state.replaced),
    firstEntryNumber: BigInt(firstEntryNumber(state)),
    nextEntryNumber: BigInt(state.nextEntryNumber),
    openEntries: state.openEntries.map(BigInt),
    turn: state.turn,
    maxEntries: state.limits.maxEntries,
    maxBytes: state.limits.maxBytes,
  });
}

/** A whole transcript as one message: what is kept of it between two starts. */
export function wholeTranscript(state: TranscriptState): GetTranscriptResponse {
  return create(GetTranscriptResponseSchema, {
    entries: [...state.entries],
    commands: [...state.commands],
    state: state.workerState,
    droppedEntries: BigInt(state.droppedEntries),
    keptEntries: BigInt(state.entries.length),
    fold: foldMessage(state),
  });
}

/** The transcript of a message that has all of it. `limits`: others than those that it was made with. */
export function transcriptOf(whole: GetTranscriptResponse, limits?: TranscriptLimits): TranscriptState {
  const state = stateOf(whole, EntryList.of(whole.entries), false);
  return withinLimits(limits === undefined ? state : { ...state, limits });
}

/**
 * A transcript out of all pages of one read, in order, oldest entries first. If there were several, it is the transcript as
 * of the first, save that some entries know events that came since: folding the events up to the cursor of the last page,
 * and then `settle`, makes it the transcript as of that one. Undefined: entries were taken back or dropped before they were
 * read, so the read has to begin again.
 */
export function transcriptOfPages(pages: readonly GetTranscriptResponse[]): TranscriptState | undefined {
  const first = pages[0] as GetTranscriptResponse;
  let read = 0;
  for (const page of pages) {
    if (page.fold === undefined || page.fold.replacedSequence !== first.fold?.replacedSequence) return undefined;
    // The first page begins with the oldest entry that there was.
    if (page !== first && Number(page.fold.firstEntryNumber) > read + 1) return undefined;
    read = Number(page.entries.at(-1)?.entryNumber ?? read);
  }
  const entries = EntryList.of(pages.flatMap((page) => page.entries));
  return stateOf(first, entries, pages.length > 1);
}

/**
 * Ends what `transcriptOfPages` began, once every event up to the last page is folded. Undefined: the events and that page
 * do not agree.
 */
export function settle(state: TranscriptState, lastPage: GetTranscriptResponse): TranscriptState | undefined {
  const { fold, droppedEntries } = lastPage;
  if (fold === undefined) return undefined;
  const agrees =
    state.sequence === Number(fold.sequence) &&
    state.nextEntryNumber === Number(fold.nextEntryNumber) &&
    state.replaced === Number(fold.replacedSequence);
  if (!agrees) return undefined;
  const dropped = [...state.entries].findIndex(({ entryNumber }) => entryNumber >= fold.firstEntryNumber);
  const entries = state.entries.withoutFirst(dropped === -1 ? state.entries.length : dropped);
  return {
    ...state,
    entries,
    bytes: totalSize(entries),
    droppedEntries: Number(droppedEntries),
    openEntries: fold.openEntries.map(Number),
    revision: Number(fold.revisionSequence),
    settling: false,
  };
}

/** Number of the oldest entry that is kept; where none is, the next one's. */
export function firstEntryNumber(state: TranscriptState): number {
  return Number(state.entries.first?.entryNumber ?? state.nextEntryNumber);
}

function stateOf(page: GetTranscriptResponse, entries: EntryList, settling: boolean): TranscriptState {
  const fold = page.fold ?? create(TranscriptFoldSchema, { nextEntryNumber: 1n });
  return {
    entries,
    commands: page.commands,
    workerState: page.state,
    turn: fold.turn,
    openEntries: fold.openEntries.map(Number),
    nextEntryNumber: Number(fold.nextEntryNumber),
    droppedEntries: Number(page.droppedEntries),
    bytes: totalSize(entries),
    sequence: Number(fold.sequence),
    revision: Number(fold.revisionSequence),
    replaced: Number(fold.replacedSequence),
    limits: { maxEntries: fold.maxEntries, maxBytes: fold.maxBytes },
    settling,
  };
}
