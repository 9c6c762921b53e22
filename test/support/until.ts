/** Milliseconds that a test waits for what must happen: only a hang takes so long, however slow the machine is. */
export const patienceMs = 240_000;

/** Waits until `condition` holds, looking whenever the event loop has gone round. @throws after `timeoutMs`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = patienceMs,
): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; ; ) {
    // Asked before the condition: a machine that paused in between has not waited in vain.
    const isLate = performance.now() > deadline;
    if (await condition()) return;
    if (isLate) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Waits until `check` passes, and gives what it returns. @throws what it threw last, after `timeoutMs`. */
export async function eventually<Result>(
  check: () => Result | Promise<Result>,
  timeoutMs = patienceMs,
): Promise<Result> {
  for (const deadline = performance.now() + timeoutMs; ; ) {
    const isLate = performance.now() > deadline;
    try {
      return await check();
    } catch (error) {
      if (isLate) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * Settles when the sockets of this process have taken all that they can from writers that are not done, while nobody reads:
 * each turn of the event loop moves a piece of 64 KiB, and the buffers of both ends hold some megabytes.
 */
export async function socketsAreFull(): Promise<void> {
  for (let turn = 0; turn < 2_000; turn++) await new Promise((resolve) => setImmediate(resolve));
}
