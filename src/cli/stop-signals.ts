import { constants } from "node:os";
import { exitCodes } from "./exit-codes.ts";

/** Signals by which a terminal, a supervisor or a closed session asks a process to end. */
const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export type StopSignal = (typeof stopSignals)[number];

/** The exit code of a process that a signal ended, as shells have it. */
export function signalExitCode(signal: string): number {
  const number = (constants.signals as Record<string, number>)[signal];
  return number === undefined ? exitCodes.failed : exitCodes.signalBase + number;
}

/** Calls back with every stop signal instead of dying of it. Returns how to stop listening. */
export function onStopSignals(listener: (signal: StopSignal) => void): () => void {
  for (const signal of stopSignals) process.on(signal, listener);
  return () => {
    for (const signal of stopSignals) process.off(signal, listener);
  };
}

/** The first stop signal aborts `signal`; the second ends the process at once, for whoever does not want to wait. */
export class GracefulStop implements Disposable {
  readonly #controller = new AbortController();
  readonly #stopListening: () => void;
  #received: StopSignal | undefined;

  constructor() {
    this.#stopListening = onStopSignals((signal) => {
      if (this.#received !== undefined) process.exit(signalExitCode(signal));
      this.#received = signal;
      this.#controller.abort();
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What came first; undefined: nothing yet. */
  get received(): StopSignal | undefined {
    return this.#received;
  }

  [Symbol.dispose](): void {
    this.#stopListening();
  }
}
