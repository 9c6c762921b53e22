import type { StreamDiagnostic } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { EventBlock } from "../../src/log/block.ts";
import type { ControlFrame, EventRun, WatchSink, WireForm } from "../../src/stream/form.ts";
import type { Watch } from "../../src/stream/watch.ts";

/** A frame that a test can look into: sequences of events, or a control frame. */
export type NumberFrame = { readonly sequences: readonly number[] } | { readonly control: ControlFrame };

/** Frames as rows of sequences. `frameBytes`: what each counts for, so that few frames fill a channel. */
export function numberForm(name: string, frameBytes: number): WireForm<EventBlock, NumberFrame> {
  return {
    name,
    encode: (block) => block,
    entrySize: () => 1,
    events: (runs) => ({ sequences: runs.flatMap(sequencesOf) }),
    control: (control) => ({ control }),
    frameSize: () => frameBytes,
  };
}

function sequencesOf({ entries, from, to, indices }: EventRun<EventBlock>): number[] {
  const chosen = indices ?? Array.from({ length: to - from }, (_, i) => from + i);
  return chosen.map((index) => entries.sequences[index] as number);
}

/** Takes frames as long as it has credit. */
export class CreditSink implements WatchSink<NumberFrame> {
  readonly sequences: number[] = [];
  readonly controls: ControlFrame[] = [];
  terminal: StreamDiagnostic | undefined;
  ends = 0;
  watch: Watch | undefined;
  #credit: number;

  constructor(credit = Number.POSITIVE_INFINITY) {
    this.#credit = credit;
  }

  get blocked(): boolean {
    return this.#credit <= 0;
  }

  /** Notices received, by reason. */
  get notices(): string[] {
    return this.controls.map((frame) => (frame.case === "diagnostic" ? (frame.value.reason.case ?? "") : frame.case));
  }

  grant(frames: number): void {
    const wasBlocked = this.blocked;
    this.#credit = Math.max(0, this.#credit) + frames;
    if (wasBlocked && !this.blocked) this.watch?.resume();
  }

  write(frame: NumberFrame): boolean {
    if (this.ends > 0) throw new Error("A frame came after the end.");
    if ("sequences" in frame) this.sequences.push(...frame.sequences);
    else this.controls.push(frame.control);
    this.#credit--;
    return this.#credit > 0;
  }

  end(terminal: StreamDiagnostic | undefined): void {
    this.ends++;
    this.terminal = terminal;
  }
}
