import { createHash, type Hash } from "node:crypto";
import type { Event } from "../../../gen/tailrace/v1/event_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { type Ledger, numberOf } from "./ledger.ts";

/** What a verifier says at the most: what follows a fault is mostly more of it. */
const maxFaults = 20;

const terminalStates: ReadonlySet<JobState> = new Set([
  JobState.SUCCEEDED,
  JobState.FAILED,
  JobState.CANCELLED,
  JobState.TIMED_OUT,
]);

/** Holds what one reader of the whole log sees, event by event, against what was published. */
export class Verifier {
  readonly name: string;
  /** What is wrong; empty: nothing so far. */
  readonly faults: string[] = [];
  /** Events that were seen. */
  count = 0;
  /** Ends of jobs that were seen: how each ended. */
  readonly jobEnds = new Map<string, { readonly state: JobState; readonly reason: string }>();
  readonly #ledger: Ledger;
  readonly #hash: Hash = createHash("sha256");
  readonly #workerSequences = new Map<string, bigint>();
  /** Sequences of the events of each lane, which have all numbers up to the newest one. */
  readonly #seen = new Map<string, number[]>();
  #sequence = 0n;

  constructor(name: string, ledger: Ledger) {
    this.name = name;
    this.#ledger = ledger;
  }

  take(event: Event): void {
    this.count++;
    const { sequence, workerSequence, workerId, jobId, correlationId, payload } = event;
    this.#hash.update(`${sequence} ${workerSequence} ${workerId} ${jobId} ${correlationId} ${payload.case}\n`);
    if (sequence <= this.#sequence) this.#fault(`sequence ${sequence} after ${this.#sequence}`);
    this.#sequence = sequence;
    if (workerId !== "") {
      const last = this.#workerSequences.get(workerId) ?? 0n;
      if (workerSequence !== last + 1n) this.#fault(`${workerId} has ${workerSequence} after ${last}`);
      this.#workerSequences.set(workerId, workerSequence);
    }
    const number = numberOf(event);
    if (number !== undefined) this.#published(event, number);
    if (payload.case === "jobStateChanged" && terminalStates.has(payload.value.state)) {
      if (this.jobEnds.has(jobId)) this.#fault(`job ${jobId} ended twice`);
      this.jobEnds.set(jobId, { state: payload.value.state, reason: payload.value.reason });
    }
  }

  /** Whether everything acknowledged was seen. */
  get hasAll(): boolean {
    for (const { workerId, sequences } of this.#ledger.lanes.values()) {
      if ((this.#seen.get(workerId)?.length ?? 0) < sequences.length) return false;
    }
    return true;
  }

  /** Says what is wrong, once nothing is to come any more. */
  finish(): readonly string[] {
    for (const { workerId, sequences } of this.#ledger.lanes.values()) {
      const seen = this.#seen.get(workerId) ?? [];
      if (seen.length !== sequences.length) {
        this.#fault(`${workerId}: ${seen.length} seen of ${sequences.length} acknowledged`);
      }
      const other = sequences.findIndex((sequence, index) => seen[index] !== sequence);
      if (other >= 0) {
        this.#fault(`${workerId}#${other + 1} was acknowledged as ${sequences[other]} and seen as ${seen[other]}`);
      }
    }
    return this.faults;
  }

  /** The same for all who saw the same. Nothing is taken after it was asked for. */
  digest(): string {
    return this.#hash.digest("hex");
  }

  #published({ workerId, correlationId, sequence }: Event, number: number): void {
    const seen = this.#seen.get(workerId) ?? [];
    this.#seen.set(workerId, seen);
    if (number !== seen.length + 1) this.#fault(`${correlationId} after ${workerId}#${seen.length}`);
    if (number > (this.#ledger.lanes.get(workerId)?.sent ?? 0)) this.#fault(`${correlationId} was never published`);
    seen.push(Number(sequence));
  }

  #fault(text: string): void {
    if (this.faults.length < maxFaults) this.faults.push(`${this.name}: ${text}`);
  }
}
