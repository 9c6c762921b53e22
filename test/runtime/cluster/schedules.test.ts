import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Event, type EventKind, EventSchema, type NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import type { WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ListWorkersRequestSchema } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { hasReason } from "../../../src/base/errors.ts";
import { limits } from "../../../src/base/limits.ts";
import { CursorCodec } from "../../../src/events/cursor.ts";
import { decodeEvents } from "../../../src/events/stored.ts";
import { foldTranscript, transcriptKinds, workerOnlyKinds } from "../../../src/events/transcript/fold.ts";
import { emptyTranscript } from "../../../src/events/transcript/state.ts";
import { holdKey } from "../../../src/log/contract.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import type { SharedLog } from "../../support/shared-log.ts";
import { SharedStream } from "../../support/shared-stream.ts";
import { batch } from "../support.ts";
import { conversation, getTranscript, shown, stateOf, take } from "../transcripts/support.ts";

const servers = 3;
const workers = ["a", "b", "c"];
const producers = ["p", "q"];

type NewEventInit = MessageInitShape<typeof NewEventSchema>;

interface Saying {
  readonly kind: "say" | "status" | "talk" | "end";
  readonly server: number;
  readonly worker: string;
}

type Step =
  | Saying
  | {
      readonly kind: "produce";
      readonly servers: readonly number[];
      readonly producer: string;
      readonly worker: string;
    }
  | { readonly kind: "keeper" | "kill"; readonly server: number }
  | { readonly kind: "pass"; readonly steps: number };

const server = fc.nat(servers - 1);
const worker = fc.constantFrom(...workers);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("say" as const), server, worker }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("status" as const), server, worker }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("talk" as const), server, worker }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("end" as const), server, worker }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("produce" as const),
      servers: fc.array(server, { minLength: 1, maxLength: 3 }),
      producer: fc.constantFrom(...producers),
      worker: fc.constant("produced"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("keeper" as const), server }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("kill" as const), server }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("pass" as const), steps: fc.nat(40) }) },
);

/** What somebody asked to be published. */
interface Said {
  readonly server: Member;
  readonly worker: string;
  readonly text: string;
  answer: { readonly first: number; readonly duplicate: boolean } | { readonly refused: unknown } | undefined;
}

interface Member {
  readonly log: SharedLog;
  readonly runtime: Runtime;
  isAlive: boolean;
}

/** Servers that share a stream, what was asked of them, and what an observer saw of it. */
class World {
  readonly stream: SharedStream;
  readonly members: Member[] = [];
  readonly said: Said[] = [];
  readonly events: Event[] = [];
  readonly #faults: unknown[] = [];
  readonly #asked: Promise<unknown>[] = [];
  readonly #produced = new Map<string, { next: number; turn: Promise<unknown> }>();
  readonly #conversations = new Map<string, ReturnType<typeof conversation>>();
  #texts = 0;

  constructor(seed: number, retention = {}) {
    this.stream = new SharedStream({ seed, retention });
    const { runtimeId, generation } = this.stream.identity;
    const witness = this.stream.open();
    const cursors = new CursorCodec(runtimeId, generation, witness.epochs);
    witness.subscribe((block) => this.events.push(...decodeEvents(block, cursors)));
    for (let i = 0; i < servers; i++) this.members.push(this.#member());
    this.members[0]?.log.takeOver();
  }

  /** Has the log keep a transcript: before the first one nothing holds retention (docs/adr/0008-transcripts-are-folds.md). */
  async keepOne(): Promise<void> {
    this.#say(this.members[0] as Member, { kind: "talk", server: 0, worker: "first" });
    await this.stream.until(Promise.all(this.#asked));
    for (const { log } of this.members) expect(log.state(holdKey)).toBeDefined();
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const one of steps) await this.#do(one);
    await this.stream.until(Promise.all(this.#asked));
    // Whatever is due is kept.
    for (let round = 0; round < 3; round++) {
      this.stream.clock.advance(limits.transcriptKeepMs);
      await this.stream.until();
    }
    expect(this.#faults).toEqual([]);
  }

  #member(): Member {
    const log = this.stream.open();
    const { clock } = this.stream;
    const member: Member = {
      log,
      isAlive: true,
      runtime: new Runtime({ log, clock, onError: (error) => member.isAlive && this.#faults.push(error) }),
    };
    return member;
  }

  async #do(one: Step): Promise<void> {
    if (one.kind === "pass") {
      for (let i = 0; i < one.steps; i++) {
        this.stream.step();
        // What a step settles goes on before the next one.
        if (i % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      return;
    }
    if (one.kind === "produce") {
      this.#produce(
        one.producer,
        one.servers.map((i) => this.members[i] as Member),
        one.worker,
      );
      return;
    }
    const member = this.members[one.server] as Member;
    if (one.kind === "keeper") member.log.takeOver();
    else if (one.kind === "kill") this.#kill(one.server, member);
    else this.#say(member, one as Saying);
  }

  #kill(i: number, member: Member): void {
    member.isAlive = false;
    this.stream.kill(member.log);
    this.members[i] = this.#member();
    this.members[(i + 1) % servers]?.log.takeOver();
  }

  #say(member: Member, { worker: workerId, kind }: Saying): void {
    const text = `${++this.#texts}`;
    const events: Record<Saying["kind"], () => NewEventInit[]> = {
      say: () => [],
      status: () => [
        {
          workerId,
          payload: { case: "workerStatus" as const, value: { state: (2 + (this.#texts % 3)) as WorkerState } },
        },
      ],
      talk: () => {
        const key = `${member.log.identity.runtimeId} ${workerId}`;
        const talk = this.#conversations.get(key) ?? conversation(workerId);
        this.#conversations.set(key, talk);
        return take(talk, 1 + (this.#texts % 5));
      },
      end: () => [{ workerId, payload: { case: "workerEnded" as const, value: { outcome: 1 } } }],
    };
    const said: Said = { server: member, worker: workerId, text, answer: undefined };
    this.said.push(said);
    const asked = member.runtime.publish([marked(workerId, text), ...events[kind]()]).then(
      ({ firstSequence }) => {
        said.answer = { first: firstSequence, duplicate: false };
      },
      (refused: unknown) => {
        said.answer = { refused };
      },
    );
    this.#ask(member, asked);
  }

  /** The next batch of a producer, at several servers at once; after the one before it was answered. */
  #produce(producerId: string, at: readonly Member[], worker: string): void {
    const producer = this.#produced.get(producerId) ?? { next: 1, turn: Promise.resolve() };
    this.#produced.set(producerId, producer);
    const first = producer.next++;
    const text = `${producerId}${first}`;
    const publish = async (member: Member) => {
      const request = batch({ events: [marked(worker, text)], producerId, firstProducerSequence: BigInt(first) });
      // One that is killed has no answer, and is asked no more: another one gets the batch.
      for (let asked = member; ; asked = this.members[0] as Member) {
        const said: Said = { server: asked, worker, text, answer: undefined };
        this.said.push(said);
        const answered = asked.runtime.publishEvents(request);
        // Nobody waits for one that is killed.
        answered.catch(() => undefined);
        await Promise.race([answered, this.#gone(asked)]);
        if (!asked.isAlive) continue;
        const { firstSequence, duplicate } = await answered;
        said.answer = { first: Number(firstSequence), duplicate };
        return;
      }
    };
    const { turn } = producer;
    producer.turn = (async () => {
      await turn;
      await Promise.all(at.map((member) => publish(member.isAlive ? member : (this.members[0] as Member))));
    })();
    this.#asked.push(producer.turn);
  }

  #ask(member: Member, asked: Promise<unknown>): void {
    this.#asked.push(Promise.race([asked, this.#gone(member)]));
  }

  async #gone(member: Member): Promise<void> {
    while (member.isAlive && !this.#isOver(member)) await new Promise((resolve) => setImmediate(resolve));
  }

  #isOver(member: Member): boolean {
    return this.said.every(({ server: asked, answer }) => asked !== member || answer !== undefined);
  }
}

function marked(workerId: string, text: string) {
  return {
    workerId,
    payload: { case: "custom" as const, value: { type: "mark", data: new TextEncoder().encode(text) } },
  };
}

function markOf({ payload }: Event): string {
  return payload.case === "custom" ? new TextDecoder().decode(payload.value.data) : "";
}

/** What is said of the worker alone begins none. */
function beginsTranscript({ payload }: Event): boolean {
  const kind = EventSchema.fields.find(({ localName }) => localName === payload.case)?.number as EventKind;
  return transcriptKinds.has(kind) && !workerOnlyKinds.has(kind);
}

const seed = fc.integer();
const steps = fc.array(step, { minLength: 5, maxLength: 60 });

test("no schedule of servers puts an event behind an end, or commits a batch twice or in another order", async () => {
  await fc.assert(
    fc.asyncProperty(seed, steps, async (number, given) => {
      const world = new World(number);
      await world.run(given);
      const { events, said } = world;
      expect(events.map(({ sequence }) => Number(sequence))).toEqual(events.map((_, i) => i + 1));
      const at = new Map<string, number[]>();
      for (const event of events) {
        const mark = markOf(event);
        if (mark !== "") at.set(mark, [...(at.get(mark) ?? []), Number(event.sequence)]);
      }
      for (const worker of [...workers, "produced"]) {
        const own = events.filter(({ workerId }) => workerId === worker);
        expect(own.map(({ workerSequence }) => Number(workerSequence))).toEqual(own.map((_, i) => i + 1));
        expect(own.filter(({ payload }) => payload.case === "workerCreated")).toHaveLength(Math.min(1, own.length));
        const end = own.findIndex(({ payload }) => payload.case === "workerEnded");
        if (end !== -1) expect(end).toBe(own.length - 1);
      }
      for (const { worker, text, answer, server: asked } of said) {
        const sequences = at.get(text) ?? [];
        expect(sequences.length).toBeLessThanOrEqual(1);
        if (answer === undefined) expect(asked.isAlive).toBe(false);
        else if ("refused" in answer) {
          expect(hasReason(answer.refused, "invalid_request") && answer.refused.message).toContain("has ended");
          expect(sequences).toEqual([]);
          // One that was killed may have had the end on its way.
          if (asked.isAlive)
            expect(events.some(({ workerId, payload }) => workerId === worker && payload.case === "workerEnded")).toBe(
              true,
            );
        } else {
          // The batch that creates the worker begins before its first event.
          const [sequence] = sequences as [number];
          expect(sequence - answer.first).toBeGreaterThanOrEqual(0);
          expect(sequence - answer.first).toBeLessThanOrEqual(1);
        }
      }
      for (const producer of producers) {
        const own = [...at.keys()].filter((mark) => mark.startsWith(producer));
        expect(own).toEqual(own.map((_, i) => `${producer}${i + 1}`));
        for (const mark of own) {
          const answers = said.filter(({ text, answer }) => text === mark && answer !== undefined);
          const firsts = answers.flatMap(({ answer }) => (answer !== undefined && "first" in answer ? [answer] : []));
          expect(new Set(firsts.map(({ first }) => first)).size).toBe(1);
          expect(firsts.filter(({ duplicate }) => !duplicate).length).toBeLessThanOrEqual(1);
        }
      }
      // What one server was asked for a worker is there in the order in which it was asked.
      for (const member of new Set(said.map(({ server: asked }) => asked))) {
        for (const worker of workers) {
          const own = said
            .filter((one) => one.server === member && one.worker === worker)
            .flatMap(({ text }) => at.get(text) ?? []);
          expect(own).toEqual(own.toSorted((a, b) => a - b));
        }
      }
    }),
    { numRuns: 60 },
  );
});

test("whatever the schedule, workers and transcripts are the same at every server, and what the events make of them", async () => {
  await fc.assert(
    fc.asyncProperty(seed, steps, async (number, given) => {
      // What is kept may go at once, so that a server which folds events again finds only those that are not.
      const world = new World(number, { workerEvents: 5 });
      await world.keepOne();
      await world.run(given);
      const lists = world.members.map(({ runtime }) => runtime.listWorkers(create(ListWorkersRequestSchema)));
      for (const list of lists) expect(list).toEqual(lists[0]);
      for (const { workerId } of lists[0]?.workers ?? []) {
        const own = world.events.filter((event) => event.workerId === workerId);
        const first = own.findIndex(beginsTranscript);
        const truth = own.slice(first === -1 ? own.length : first).reduce(foldTranscript, emptyTranscript());
        for (const { runtime } of world.members) {
          const state = stateOf(await getTranscript(runtime, workerId));
          expect(shown({ ...state, workerState: truth.workerState })).toEqual(shown(truth));
        }
      }
    }),
    { numRuns: 40 },
  );
});
