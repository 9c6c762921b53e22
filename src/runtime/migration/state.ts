import { type EventLog, holdKey } from "../../log/contract.ts";
import { serverPrefix } from "../jobs/presence.ts";
import { askPrefix, movedRecord, readHeader, recordPrefix } from "../jobs/record.ts";
import { movedProducer, producerPrefix, resultsOfProducer } from "../producers.ts";
import { eachSequence, movedTranscript, transcriptPrefix } from "../transcripts/kept.ts";
import { factsPrefix } from "../worker-projection.ts";
import { Moved } from "./moved.ts";

/** What a log's state says, value by value: some name sequences of the log, which are others where it is copied to. */

/** Everything in the state of a log that names its sequences. */
export function namedSequences(log: EventLog): Moved {
  const sequences = new Set<number>();
  const positions = new Set<number>();
  for (const [key, value] of log.stateEntries("")) {
    if (!isCopied(log, key)) continue;
    if (key === holdKey) {
      sequences.add(holdOf(value));
    } else if (key.startsWith(recordPrefix)) {
      const { beforeSequence, endSequence } = readHeader(value);
      sequences.add(beforeSequence).add(endSequence);
    } else if (key.startsWith(producerPrefix)) {
      for (const { firstSequence, last } of resultsOfProducer(value)) {
        sequences.add(firstSequence);
        positions.add(last.sequence);
      }
    } else if (key.startsWith(transcriptPrefix)) {
      eachSequence(value, (sequence) => sequences.add(sequence));
    }
  }
  return new Moved(sequences, positions);
}

/**
 * Whether an entry goes along: what is known of a worker does not where nothing of the worker does, and neither what servers
 * say that had the log, and ask of each other.
 */
export function isCopied(log: EventLog, key: string): boolean {
  if (key.startsWith(serverPrefix) || key.startsWith(askPrefix)) return false;
  for (const prefix of [factsPrefix, transcriptPrefix]) {
    if (key.startsWith(prefix)) return (log.worker(key.slice(prefix.length))?.retainedEvents ?? 0) > 0;
  }
  return true;
}

/** An entry as it is in the log that the events were copied to. */
export function movedState(key: string, value: Uint8Array, moved: Moved): Uint8Array {
  if (key === holdKey) return new TextEncoder().encode(String(moved.sequence(holdOf(value))));
  if (key.startsWith(recordPrefix)) {
    const header = readHeader(value);
    const { beforeSequence, endSequence } = header;
    return movedRecord(value, {
      ...header,
      beforeSequence: moved.sequence(beforeSequence),
      beforeOrdinal: moved.ordinal(beforeSequence),
      owner: "",
      // 0 would say that it has not ended.
      endSequence: endSequence === 0 ? 0 : Math.max(1, moved.sequence(endSequence)),
    });
  }
  if (key.startsWith(producerPrefix)) {
    return movedProducer(value, ({ firstSequence, last, timeMs }) => ({
      firstSequence: moved.sequence(firstSequence),
      last: moved.position(last.sequence),
      timeMs,
    }));
  }
  if (key.startsWith(transcriptPrefix)) return movedTranscript(value, (sequence) => moved.sequence(sequence));
  return value;
}

function holdOf(value: Uint8Array): number {
  return Number(new TextDecoder().decode(value));
}
