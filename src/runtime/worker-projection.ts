import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { WorkerEnded } from "../../gen/tailrace/v1/payloads_pb.ts";
import { WorkerSchema } from "../../gen/tailrace/v1/worker_service_pb.ts";
import type { CursorCodec } from "../events/cursor.ts";
import { decodeEvent } from "../events/stored.ts";
import { changesFacts, foldWorker, unknownWorker, type WorkerFacts } from "../events/worker-facts.ts";
import type { EventBlock } from "../log/block.ts";
import type { EventLog } from "../log/contract.ts";

/** Where the log's state keeps what is known of a worker. */
export const factsPrefix = "worker/";

/** Key and value under which the log keeps what is known of a worker, next to the events that say so. */
export function factsKey(workerId: string): string {
  return `${factsPrefix}${workerId}`;
}

/** Key that is put, without ever having a value, when a worker ends: whatever is said of the worker depends on it. */
export function endKey(workerId: string): string {
  return `worker-end/${workerId}`;
}

export function encodeFacts(workerId: string, facts: WorkerFacts): Uint8Array {
  return toBinary(
    WorkerSchema,
    create(WorkerSchema, {
      workerId,
      state: facts.state,
      ...(facts.info === undefined ? {} : { info: facts.info }),
      ...(facts.ended === undefined ? {} : { ended: facts.ended }),
    }),
  );
}

interface Committed {
  readonly facts: WorkerFacts;
  /** Sequence of the event that ended the worker; 0: not since this process began. */
  readonly endSequence: number;
}

/** What is known of every worker: a fold of committed events, which survives in the log's state until it is forgotten. */
export class WorkerProjection {
  readonly #cursors: CursorCodec;
  readonly #committed = new Map<string, Committed>();

  constructor(log: EventLog, cursors: CursorCodec) {
    this.#cursors = cursors;
    for (const [key, value] of log.stateEntries(factsPrefix)) {
      const { state, info, ended } = fromBinary(WorkerSchema, value);
      this.#committed.set(key.slice(factsPrefix.length), { facts: { state, info, ended }, endSequence: 0 });
    }
    // As long as the log has listeners.
    log.subscribeState(factsPrefix, (key, value) => this.#hear(key.slice(factsPrefix.length), value));
  }

  /** What is known of a worker; of one that nothing was said of, the least. */
  facts(workerId: string): WorkerFacts {
    return this.#committed.get(workerId)?.facts ?? unknownWorker;
  }

  /** How a worker ended, and the sequence of the event that says so; undefined: it did not. */
  end(workerId: string): { readonly ended: WorkerEnded; readonly sequence: number } | undefined {
    const committed = this.#committed.get(workerId);
    const ended = committed?.facts.ended;
    return committed === undefined || ended === undefined ? undefined : { ended, sequence: committed.endSequence };
  }

  /** Folds a committed block. */
  commit(block: EventBlock): void {
    for (let i = 0; i < block.length; i++) {
      const worker = block.workers[i] as number;
      if (worker === 0 || !changesFacts(block.kinds[i] as number)) continue;
      const workerId = block.subjects.idOf(worker);
      const before = this.#committed.get(workerId);
      const facts = foldWorker(before?.facts ?? unknownWorker, decodeEvent(block, this.#cursors, i).payload);
      const justEnded = facts.ended !== undefined && before?.facts.ended === undefined;
      const endSequence = justEnded ? (block.sequences[i] as number) : (before?.endSequence ?? 0);
      this.#committed.set(workerId, { facts, endSequence });
    }
  }

  /** What is said of a worker was put, or removed because the worker is forgotten. Its events are folded after this. */
  #hear(workerId: string, value: Uint8Array | undefined): void {
    const committed = this.#committed.get(workerId);
    if (committed?.facts.ended === undefined) {
      if (value === undefined) this.#committed.delete(workerId);
      return;
    }
    // Forgotten and there again at once: only the last put of a key is heard of those that come as one.
    if (value === undefined || fromBinary(WorkerSchema, value).ended === undefined) this.#committed.delete(workerId);
  }
}
