import type { AppendBatch, AppendResult, EventLog } from "../../../src/log/contract.ts";

/**
 * A log as a process sees it that can crash: what it has not written by then is lost, it hears nothing more, and what it asks
 * for is never answered, whether it was committed or not. The log itself lives on, also when the process closes it.
 */
export class CrashableLog {
  /** The log, as the process gets it. */
  readonly seen: EventLog;
  readonly #log: EventLog;
  #crashed = false;
  /** Appends that are written when the event loop has gone round. */
  #held: (() => void)[] = [];
  readonly #written: Promise<unknown>[] = [];

  constructor(log: EventLog) {
    this.#log = log;
    const own: Partial<EventLog> = {
      append: (batch) => this.#append(batch),
      subscribe: (listener) =>
        log.subscribe((block, done) => {
          if (!this.#crashed) listener(block, done);
        }),
      subscribeState: (prefix, listener) =>
        log.subscribeState(prefix, (key, value) => {
          if (!this.#crashed) listener(key, value);
        }),
      close: async () => this.#write(),
    };
    this.seen = new Proxy(log, {
      get(target, name) {
        if (name in own) return own[name as keyof EventLog];
        const value = Reflect.get(target, name, target) as unknown;
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  /** Settles once everything that was written is committed. */
  async crash(): Promise<void> {
    this.#crashed = true;
    this.#held = [];
    await Promise.allSettled(this.#written);
  }

  #append(batch: AppendBatch): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      this.#held.push(() => {
        const written = this.#log.append(batch);
        this.#written.push(written);
        written.then(
          (result) => this.#crashed || resolve(result),
          (error: unknown) => this.#crashed || reject(error),
        );
      });
      setImmediate(() => this.#write());
    });
  }

  #write(): void {
    const held = this.#held;
    this.#held = [];
    if (!this.#crashed) for (const write of held) write();
  }
}
