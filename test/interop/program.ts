import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { delimiter, dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { killGroup } from "../support/processes.ts";
import type { ForeignWatch, Sighting } from "./scenario.ts";

export const checkout = join(import.meta.dirname, "../..");

/** The tools of the checkout and the pinned Node first on PATH. */
export const environment: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: [dirname(process.execPath), join(checkout, "node_modules/.bin"), process.env["PATH"]].join(delimiter),
};

export interface ProgramOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** What the output so far tells. */
  readonly read: (stdout: string) => Sighting;
  /** What to install if there is no such program. */
  readonly install: string;
}

/** A watch by a program whose standard output tells what it sees. Killed when the test ends. */
export class Program implements ForeignWatch {
  readonly #child: ChildProcess;
  readonly #read: (stdout: string) => Sighting;
  readonly #closed: Promise<unknown>;
  #stdout = "";
  #stderr = "";
  #ended = false;
  #wake: () => void = () => undefined;

  constructor({ file, args, cwd = checkout, read, install }: ProgramOptions) {
    this.#read = read;
    this.#child = spawn(file, [...args], { cwd, env: environment, stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.#child.on("error", (error) => {
      this.#stderr += `${file} could not be started: ${error.message}. ${install}`;
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
      this.#wake();
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.#closed = once(this.#child, "close").then(
      () => this.#end(),
      () => this.#end(),
    );
    onTestFinished(() => this.stop());
  }

  async until(count: number): Promise<Sighting> {
    for (;;) {
      const sighting = this.#read(this.#stdout);
      if (sighting.ids.length >= count) return sighting;
      if (this.#ended) {
        throw new Error(`it ended with ${sighting.ids.length} of ${count} events.\n${this.#stdout}\n${this.#stderr}`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Waits until the program ends by itself. */
  async rest(): Promise<{ readonly stdout: string; readonly stderr: string; readonly code: number | null }> {
    await this.#closed;
    return { stdout: this.#stdout, stderr: this.#stderr, code: this.#child.exitCode };
  }

  async stop(): Promise<void> {
    // Its whole group: what npm calls by the name of a program is often a script that starts it.
    const { pid } = this.#child;
    if (!this.#ended && pid !== undefined) killGroup(pid);
    await this.#closed;
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }
}

/** Values of JSON that follow each other, with or without line breaks in and between them; what is cut at the end is left. */
export function jsonValues(text: string): unknown[] {
  const values: unknown[] = [];
  let depth = 0;
  let inString = false;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (inString) {
      if (character === "\\") i++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "{" && depth++ === 0) start = i;
    else if (character === "}" && --depth === 0) values.push(JSON.parse(text.slice(start, i + 1)));
  }
  return values;
}

interface JsonFrame {
  readonly opened?: { readonly cursor: string };
  readonly events?: { readonly cursor: string; readonly events: readonly { readonly correlationId?: string }[] };
  readonly bookmark?: { readonly cursor: string };
  readonly diagnostic?: { readonly cursor?: string };
}

/** What frames in proto3 JSON tell. */
export function sightingOfFrames(frames: readonly unknown[]): Sighting {
  const ids: string[] = [];
  let cursor = "";
  for (const frame of frames as readonly JsonFrame[]) {
    for (const { correlationId } of frame.events?.events ?? [])
      if (correlationId !== undefined) ids.push(correlationId);
    const told = Object.values(frame)[0] as { cursor?: string } | undefined;
    if (told?.cursor !== undefined) cursor = told.cursor;
  }
  return { ids, cursor };
}
