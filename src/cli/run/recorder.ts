import type { MessageInitShape } from "@bufbuild/protobuf";
import type { NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { type OutputStream, WorkerOutcome, WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { limits } from "../../base/limits.ts";
import type { CommandEnd } from "./child.ts";

type NewEventInit = MessageInitShape<typeof NewEventSchema>;
type PayloadInit = NonNullable<NewEventInit["payload"]>;

/** Commits events in the order of the calls, and settles after the commit. */
export type Publish = (events: NewEventInit[]) => Promise<unknown>;

/** Bytes of output that wait for their commit; above, the command's pipes are left alone until half of it is committed. */
export const maxUncommittedBytes = 4 * 1024 * 1024;

/** Turns a command's output and end into events of its worker, in order. */
export class Recorder {
  readonly #publish: Publish;
  readonly #workerId: string;
  readonly #onRoom: () => void;
  readonly #onFailure: (error: unknown) => void;
  readonly #offsets = new Map<OutputStream, number>();
  #uncommittedBytes = 0;
  #failed = false;

  /** `onRoom`: after `output` said false, it takes output again. `onFailure`: called once; from then on nothing is recorded. */
  constructor(publish: Publish, workerId: string, onRoom: () => void, onFailure: (error: unknown) => void) {
    this.#publish = publish;
    this.#workerId = workerId;
    this.#onRoom = onRoom;
    this.#onFailure = onFailure;
  }

  /** Bytes of output that are not yet committed. */
  get uncommittedBytes(): number {
    return this.#uncommittedBytes;
  }

  /** Says that the worker runs. What it rejects with means that the command should not be started. */
  async started(displayName: string): Promise<void> {
    await this.#publish([
      this.#event({ case: "workerUpdated", value: { info: { displayName }, state: WorkerState.RUNNING } }),
    ]);
  }

  /** Records bytes of output. False: no more until `onRoom` is called. */
  output(stream: OutputStream, data: Uint8Array): boolean {
    if (this.#failed) return true;
    const begin = this.#offsets.get(stream) ?? 0;
    this.#offsets.set(stream, begin + data.length);
    const events: NewEventInit[] = [];
    for (let from = 0; from < data.length; from += limits.maxOutputChunkBytes) {
      const chunk = data.subarray(from, from + limits.maxOutputChunkBytes);
      events.push(this.#event({ case: "output", value: { stream, data: chunk, offset: BigInt(begin + from) } }));
    }
    this.#uncommittedBytes += data.length;
    this.#publish(events)
      .catch((error: unknown) => this.#fail(error))
      .finally(() => this.#committed(data.length));
    return this.#uncommittedBytes < maxUncommittedBytes;
  }

  /** Records how the command ended: the last event of the worker. Settles after the commit of everything, or a failure. */
  async ended(end: CommandEnd, cancelled: boolean): Promise<void> {
    if (this.#failed) return;
    await this.#publish([this.#event({ case: "workerEnded", value: endedPayload(end, cancelled) })]).catch(
      (error: unknown) => this.#fail(error),
    );
  }

  #event(payload: PayloadInit): NewEventInit {
    return { workerId: this.#workerId, payload };
  }

  #committed(bytes: number): void {
    const before = this.#uncommittedBytes;
    this.#uncommittedBytes -= bytes;
    const half = maxUncommittedBytes / 2;
    if (before > half && this.#uncommittedBytes <= half) this.#onRoom();
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#onFailure(error);
  }
}

function endedPayload(end: CommandEnd, cancelled: boolean) {
  const failed = cancelled ? WorkerOutcome.CANCELLED : WorkerOutcome.FAILED;
  switch (end.kind) {
    case "exited":
      return { outcome: end.exitCode === 0 ? WorkerOutcome.SUCCEEDED : failed, exitCode: end.exitCode };
    case "killed":
      return { outcome: failed, signal: end.signal };
    case "not_started":
      return { outcome: WorkerOutcome.FAILED, message: end.message };
  }
}
