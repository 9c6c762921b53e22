import { inspect } from "node:util";
import { ManualClock } from "../../../src/base/clock.ts";
import { MemoryLog } from "../../../src/log/memory/index.ts";
import { JobFailure } from "../../../src/runtime/jobs/operation.ts";
import { Runtime, type RuntimeOptions } from "../../../src/runtime/runtime.ts";
import { cancelJob, ended } from "./support.ts";

// Runs jobs whose handlers throw all that a handler can, and says as JSON on stdout how each ended. What is not contained
// ends the process. The argument says what becomes of reports.

const fail = (): never => {
  throw new Error("it throws when it is looked at");
};

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

const traps: ProxyHandler<object> = { get: fail, getPrototypeOf: fail, has: fail, ownKeys: fail };

/** Its `then` makes a promise of it, or not. */
function thenable(then: (onFulfilled: unknown, onRejected: (error: unknown) => void) => void): object {
  // biome-ignore lint/suspicious/noThenProperty: that is what it is for.
  return Object.fromEntries([["then", then]]);
}

/** What is thrown, by the message that its job must end with. */
const thrown: Readonly<Record<string, () => unknown>> = {
  "a revoked proxy": () => revoked({}),
  "a revoked proxy of an error": () => revoked(new Error("hidden")),
  "a proxy with traps": () => new Proxy(new Error("hidden"), traps),
  "a getter of message": () => Object.defineProperty(new Error(), "message", { get: fail }),
  "getters of everything": () => {
    const error = new Error();
    for (const name of ["message", "stack", "name", "code", "cause"]) Object.defineProperty(error, name, { get: fail });
    return error;
  },
  "a getter of name, after an abort": () => Object.defineProperty(new Error("named"), "name", { get: fail }),
  "its own inspection": () => Object.assign(new Error("inspected"), { [inspect.custom]: fail }),
  "no text": () => ({ toString: fail }),
  "a symbol": () => Symbol("odd"),
  "a thenable": () => Object.assign(thenable(fail), { toString: () => "thenable" }),
  "a huge message": () => new Error("x".repeat(20_000_000)),
  "a huge message of wide characters": () => new Error("🍇".repeat(5_000_000)),
  "a failure that can't be read": () => Object.defineProperty(new JobFailure("hidden"), "message", { get: fail }),
  "a failure of other types": () =>
    Object.assign(new JobFailure("odd"), { reason: 7, message: { a: 1 }, exitCode: "3" }),
  "a failure with a huge reason": () => new JobFailure("odd", { reason: "r".repeat(20_000_000) }),
  "a failure that is no well-formed text": () => new JobFailure("\ud800", { reason: "\ud800" }),
};

/** What is given as a result. */
const given: Readonly<Record<string, () => unknown>> = {
  "a result of proxies": () => new Proxy({}, { get: (_, name) => (name === "then" ? undefined : fail()) }),
  "a result that can't be awaited": () => thenable(fail),
  "a thenable that rejects with a proxy": () => thenable((_, onRejected) => onRejected(revoked({}))),
};

const reports: Readonly<Record<string, Pick<RuntimeOptions, "onError">>> = {
  standard: {},
  throwing: { onError: () => fail() },
  rejecting: { onError: (async () => Promise.reject(revoked({}))) as () => void },
};

const runtime = new Runtime({ log: new MemoryLog(), clock: new ManualClock(), ...reports[process.argv[2] as string] });
const endings: Record<string, unknown> = {};

async function note(name: string, jobId: string): Promise<void> {
  const { state, reason, message } = await ended(runtime, jobId);
  endings[name] = { state, reason, message: message.slice(0, 40), bytes: Buffer.byteLength(message + reason) };
}

for (const [name, make] of Object.entries(thrown)) {
  runtime.operation(`throws ${name}`, {}, () => {
    throw make();
  });
  runtime.operation(`rejects with ${name}`, {}, async () => Promise.reject(make()));
  const began = Promise.withResolvers<void>();
  runtime.operation(`when aborted throws ${name}`, {}, async (_, { signal }) => {
    began.resolve();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    throw make();
  });
  for (const way of [`throws ${name}`, `rejects with ${name}`]) await note(way, (await runtime.submit(way)).jobId);
  const aborted = `when aborted throws ${name}`;
  const { jobId } = await runtime.submit(aborted);
  await began.promise;
  await cancelJob(runtime, jobId);
  await note(aborted, jobId);
}
for (const [name, make] of Object.entries(given)) {
  runtime.operation(`gives ${name}`, {}, make as () => never);
  await note(`gives ${name}`, (await runtime.submit(`gives ${name}`)).jobId);
}
await runtime.close();
// What nobody handles shows once the queues are empty.
await new Promise((resolve) => setImmediate(resolve));
process.stdout.write(JSON.stringify(endings));
