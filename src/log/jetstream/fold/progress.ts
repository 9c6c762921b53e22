/** Those who wait until this server has folded so much of the stream that something holds. */
export class Progress {
  readonly #late: () => Error;
  #waiting: { readonly isReached: () => boolean; readonly settle: (error?: unknown) => void }[] = [];
  #stopped: Error | undefined;

  /** @param late is the error of whoever waited too long. */
  constructor(late: () => Error) {
    this.#late = late;
  }

  /** Why nothing is folded any more; undefined: it is. */
  get stopped(): Error | undefined {
    return this.#stopped;
  }

  /** Settles when something holds, which is looked at whenever `look` is called. */
  until(isReached: () => boolean, withinMs: number): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    if (isReached()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const late = () => {
        this.#waiting = this.#waiting.filter((one) => one !== waiting);
        settle(this.#late());
      };
      const timer = setTimeout(late, withinMs);
      const settle = (error?: unknown) => {
        clearTimeout(timer);
        if (error === undefined) resolve();
        else reject(error);
      };
      const waiting = { isReached, settle };
      this.#waiting.push(waiting);
    });
  }

  /** Something was folded, or is known that somebody waits for. */
  look(): void {
    if (this.#waiting.length === 0) return;
    const reached = this.#waiting.filter(({ isReached }) => isReached());
    if (reached.length === 0) return;
    this.#waiting = this.#waiting.filter((one) => !reached.includes(one));
    for (const { settle } of reached) settle();
  }

  /** Nothing is folded any more: whoever waits gets the error. */
  stop(error: Error): void {
    this.#stopped = error;
    for (const { settle } of this.#waiting.splice(0)) settle(error);
  }
}
