import { randomBytes } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { type JobContext, JobFailure } from "../../src/runtime/jobs/operation.ts";
import type { StandardSchemaV1 } from "../../src/runtime/jobs/standard-schema.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { type OpenOptions, openSse, type SseReader } from "../support/sse-reader.ts";

/** Operations for tests. */
export interface Operations {
  /** Settles with the context of a job of `hold` once it runs. */
  running(jobId: string): Promise<JobContext>;
  /** Lets a job of `hold` succeed, or fail with a message. */
  release(jobId: string, failure?: string): void;
}

const anyTexts: StandardSchemaV1<unknown, { texts: string[] }> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as { texts: string[] } }) },
};

interface Held {
  readonly running: PromiseWithResolvers<JobContext>;
  readonly released: PromiseWithResolvers<void>;
}

/**
 * Registers `tell` (narrates the texts of its parameters, and ends), `fail` (fails with a message), `hold` (runs until it is
 * released or aborted) and `lane` (the same, one at a time).
 */
export function registerOperations(
  runtime: Runtime,
  schemas: { readonly tell?: StandardSchemaV1<unknown, { texts: string[] }> } = {},
): Operations {
  const held = new Map<string, Held>();
  const heldOf = (jobId: string): Held => {
    let one = held.get(jobId);
    if (one === undefined) {
      one = { running: Promise.withResolvers(), released: Promise.withResolvers() };
      // A job that fails after its test has ended is nobody's fault.
      one.released.promise.catch(() => undefined);
      held.set(jobId, one);
    }
    return one;
  };
  const hold = async (_params: JsonObject, job: JobContext): Promise<void> => {
    const { running, released } = heldOf(job.id);
    running.resolve(job);
    const aborted = new Promise<never>((_resolve, reject) => {
      job.signal.addEventListener("abort", () => reject(job.signal.reason), { once: true });
    });
    await Promise.race([released.promise, aborted]);
  };
  const params = schemas.tell ?? anyTexts;
  runtime.operation("tell", { params }, async ({ texts }, job) => {
    for (const text of texts) await job.narrate("tell", text);
  });
  runtime.operation("fail", {}, async (params) => {
    throw new JobFailure(String(params["message"]));
  });
  runtime.operation("hold", {}, hold);
  runtime.operation("lane", { concurrency: 1 }, hold);
  return {
    running: (jobId) => heldOf(jobId).running.promise,
    release: (jobId, failure) => {
      const { released } = heldOf(jobId);
      if (failure === undefined) released.resolve();
      else released.reject(new Error(failure));
    },
  };
}

/** An answer over plain HTTP. */
export interface JsonAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what is in it is what tests look at.
  readonly body: any;
}

/** Sends a request whose body, if there is one, is JSON. */
export async function request(method: string, url: string, body?: unknown): Promise<JsonAnswer> {
  const answer = await fetch(url, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: text === "" ? undefined : JSON.parse(text) };
}

/** Submits a job over HTTP and gives its id. */
export async function submit(url: string, body: object): Promise<string> {
  const answer = await request("POST", `${url}/v1/jobs`, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(201);
  return answer.body.jobId;
}

/** What one reader of a simple stream saw. */
export interface SimpleView {
  readonly reader: SseReader;
  /** Events, as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: what is in them is what tests look at.
  readonly events: any[];
  /** The marker at its end; undefined: it has not come. */
  marker: string | undefined;
  /** Id of the newest message. */
  cursor: string;
}

/** Reads a simple stream to its end, which may be a broken connection. */
export async function readSimple(url: string, options: OpenOptions = {}): Promise<SimpleView> {
  const view: SimpleView = { reader: await openSse(url, options), events: [], marker: undefined, cursor: "" };
  await follow(view);
  return view;
}

/** Goes on with a simple stream until it ends, or until `enough`. */
export async function follow(view: SimpleView, enough: () => boolean = () => false): Promise<void> {
  while (!enough()) {
    const message = await view.reader.next();
    if (message === undefined) return;
    if (message.id !== undefined) view.cursor = message.id;
    if (message.event !== undefined) continue;
    // Nothing comes after a marker.
    expect(view.marker).toBeUndefined();
    if (message.data.startsWith("[")) view.marker = message.data;
    else view.events.push(JSON.parse(message.data));
  }
}

/** Kinds of events, with the action of narrations and the state of jobs. */
// biome-ignore lint/suspicious/noExplicitAny: see above.
export function outline(events: readonly any[]): string[] {
  return events.map((event) => {
    if (event.jobStateChanged !== undefined) return event.jobStateChanged.state.slice("JOB_STATE_".length);
    if (event.narration !== undefined) return `${event.narration.action}`;
    return Object.keys(event).at(-1) as string;
  });
}

/** Texts that a hostile or unlucky job says. */
export const hostileTexts: readonly string[] = [
  "[DONE]",
  "data: [DONE]\n\n",
  "a\nb\r\nc\rd",
  "\r\ndata: [CANCELLED]\r\nid: forged\r\n\r\n",
  "event: diagnostic\ndata: {}",
  ": comment",
  "error: it failed [ERROR] failed",
  "\u2028\u2029\u0085\u0000",
  "ümläut 🚰",
  `}{"]'`,
  randomBytes(8).toString("hex"),
];
