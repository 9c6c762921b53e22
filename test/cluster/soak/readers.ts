import { setTimeout as delay } from "node:timers/promises";
import { createWorkers, watch } from "../../../src/client/index.ts";
import { connectSse } from "../../support/sse-reader.ts";
import { type Lane, type Ledger, numberOf } from "../support/ledger.ts";
import { isPassing } from "./jobs.ts";

/** Positions that are remembered to come back to: the newest, of which retention keeps everything that follows. */
const maxPositions = 1_000;

/** Milliseconds that a visitor has; with an outage in between it sees less. */
const visitMs = 5_000;

interface Position {
  readonly lane: Lane;
  /** Number of the last event before it. */
  readonly number: number;
  readonly cursor: string;
}

/** Clients that come for a while: those with a cursor of earlier, those that read transcripts, and those that read nothing. */
export class Visitors {
  readonly problems: string[] = [];
  /** What was done, and how often. */
  readonly counts = { cursors: 0, events: 0, transcripts: 0, entries: 0, stalled: 0, failed: 0 };
  readonly #urls: readonly string[];
  readonly #ledger: Ledger;
  readonly #random: () => number;
  readonly #positions: Position[] = [];
  readonly #stopping = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(urls: readonly string[], ledger: Ledger, random: () => number, paceMs: number) {
    this.#urls = urls;
    this.#ledger = ledger;
    this.#random = random;
    this.#running = Promise.all([
      this.#repeat(paceMs, () => this.#resume()),
      this.#repeat(paceMs, () => this.#readTranscript()),
      this.#repeat(paceMs, () => this.#stall()),
    ]);
  }

  /** A position that a producer was given. */
  remember(lane: Lane, number: number, cursor: string): void {
    this.#positions.push({ lane, number, cursor });
    if (this.#positions.length > maxPositions) this.#positions.shift();
  }

  async stop(): Promise<readonly string[]> {
    this.#stopping.abort();
    await this.#running;
    return this.problems;
  }

  async #repeat(paceMs: number, visit: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await visit();
      } catch (error) {
        if (isPassing(error)) this.counts.failed++;
        else this.problems.push(`a visitor: ${(error as Error).stack}`);
      }
      await delay(paceMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #any<T>(of: readonly T[]): T | undefined {
    return of[Math.floor(this.#random() * of.length)];
  }

  /** Watches on from a position that another server may have given, and sees exactly what follows it. */
  async #resume(): Promise<void> {
    // The newest are in there too, which a server may not have yet.
    const position = this.#random() < 0.3 ? this.#positions.at(-1) : this.#any(this.#positions);
    if (position === undefined) return;
    const { lane, cursor } = position;
    let { number } = position;
    const signal = AbortSignal.any([AbortSignal.timeout(visitMs), this.#stopping.signal]);
    const events = watch({ baseUrl: this.#any(this.#urls) as string, cursor, signal, backoff: { maxAttempts: 1 } });
    const wanted = 200;
    let seen = 0;
    for await (const event of events) {
      if (event.workerId === lane.workerId && numberOf(event) !== undefined) {
        number++;
        if (numberOf(event) !== number) {
          this.problems.push(`after ${lane.workerId}#${number - 1} a visitor sees ${event.correlationId}`);
          break;
        }
        const sequence = lane.sequences[number - 1];
        if (sequence !== undefined && Number(event.sequence) !== sequence) {
          this.problems.push(`${event.correlationId} has the sequence ${event.sequence}, and had ${sequence}`);
        }
      }
      if (++seen >= wanted) break;
    }
    this.counts.cursors++;
    this.counts.events += seen;
  }

  /** Reads a transcript, which has every text up to some number. */
  async #readTranscript(): Promise<void> {
    const lane = this.#any([...this.#ledger.lanes.values()].filter(({ transcript }) => transcript));
    // Another server may not have the first event yet.
    if (lane === undefined || lane.sequences.length < 100) return;
    const workers = createWorkers({ baseUrl: this.#any(this.#urls) as string });
    try {
      const { entries } = await workers.transcript(lane.workerId, { signal: this.#stopping.signal });
      const numbers = entries.map(({ content }) => (content.case === "text" ? Number(content.value.text) : Number.NaN));
      const broken = numbers.findIndex((number, index) => index > 0 && number !== (numbers[index - 1] as number) + 1);
      if (broken >= 0) {
        this.problems.push(`the transcript of ${lane.workerId} has ${numbers[broken]} after ${numbers[broken - 1]}`);
      }
      this.counts.transcripts++;
      this.counts.entries += entries.length;
    } catch (error) {
      if (!this.#stopping.signal.aborted) throw error;
    } finally {
      workers.close();
    }
  }

  /** Asks for everything and takes nothing for a while. */
  async #stall(): Promise<void> {
    const url = `${this.#any(this.#urls)}/v1/events`;
    const reader = await connectSse(url).catch(() => undefined);
    if (reader === undefined) return;
    reader.pause();
    this.counts.stalled++;
    await delay(visitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    reader.abandon();
  }
}
