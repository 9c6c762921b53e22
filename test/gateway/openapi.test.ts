import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { describe, expect, it } from "vitest";
import { EventKind, EventSchema, type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { serviceNames } from "../../src/base/services.ts";
import { kindByCase } from "../../src/events/kinds.ts";
import { openApiDocument } from "../../src/gateway/openapi/document.ts";
import { servedRoutes } from "../../src/gateway/route.ts";
import { routes } from "../../src/gateway/routes.ts";
import { registerOperations, submit } from "../jobs/world.ts";
import { filled } from "../support/filled.ts";
import { type Serving, serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";

// biome-ignore lint/suspicious/noExplicitAny: a document of OpenAPI is looked at member by member.
type Document = any;

/** Every method of every path, as "GET /v1/events". */
function operationsOf({ paths }: Document): string[] {
  return Object.entries(paths as Record<string, object>).flatMap(([path, item]) =>
    Object.keys(item)
      .filter((key) => key !== "parameters")
      .map((method) => `${method.toUpperCase()} ${path}`),
  );
}

describe("the document", () => {
  it("is valid OpenAPI 3.1, whatever is served", async () => {
    for (const services of [[], ["observe"], ["publish"], ["jobs"], serviceNames] as const) {
      const document = openApiDocument(servedRoutes(routes, new Set(services)));
      const { valid, errors } = await new Validator().validate(structuredClone(document) as Record<string, unknown>);
      expect([valid, errors]).toEqual([true, undefined]);
    }
  });

  it("has every route and method that there is, and no other", async () => {
    const { server } = await serve();
    const document = await (await fetch(`${server.url}/openapi.json`)).json();
    const inTable = routes.flatMap(({ path, operations }) =>
      Object.keys(operations).map((method) => `${method} ${path}`),
    );
    expect(operationsOf(document).sort()).toEqual(inTable.sort());
    for (const operation of operationsOf(document)) {
      const [method = "", path = ""] = operation.split(" ");
      const answer = await fetch(server.url + path.replaceAll(/\{\w+\}/g, "%00"), {
        method,
        headers: { "content-type": "application/json", "last-event-id": "" },
        ...(method === "POST" ? { body: "[]" } : {}),
        signal: AbortSignal.timeout(60_000),
      });
      // There is such a route: what it does not like is the id, the body, or nothing.
      const { headers, status } = answer;
      const type = headers.get("content-type");
      const known = type !== "application/problem+json" || ((await answer.json()) as Document).diagnostic !== undefined;
      await answer.body?.cancel().catch(() => undefined);
      expect([operation, status === 405, known]).toEqual([operation, false, true]);
    }
  });

  it("names every operation once, and refers to no schema that it does not have", async () => {
    const { server } = await serve();
    const text = await (await fetch(`${server.url}/openapi.json`)).text();
    const document = JSON.parse(text);
    const ids = [...text.matchAll(/"operationId":"(\w+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBe(operationsOf(document).length);
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      expect(document.components.schemas).toHaveProperty(name as string);
    }
  });

  it("is answered with 304 to whoever has it, and to HEAD without its body", async () => {
    const { server } = await serve();
    const url = `${server.url}/openapi.json`;
    const first = await fetch(url);
    expect(first.headers.get("content-type")).toBe("application/json");
    const etag = first.headers.get("etag") as string;
    const again = await fetch(url, { headers: { "if-none-match": `W/${etag}` } });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    expect((await fetch(url, { method: "HEAD" })).headers.get("content-length")).toBe(
      String(Buffer.byteLength(await first.text())),
    );
    const { server: other } = await serve({ services: ["jobs"] });
    expect((await fetch(`${other.url}/openapi.json`)).headers.get("etag")).not.toBe(etag);
  });
});

/** Checks what is in answers against the schemas of a document, without any member that they do not have. */
class Checker {
  readonly #ajv = addFormats.default(new Ajv2020({ strict: false, allErrors: true }));
  readonly #document: Document;
  readonly #validators = new Map<string, ValidateFunction>();

  constructor(document: Document) {
    this.#document = structuredClone(document);
    for (const schema of Object.values(this.#document.components.schemas) as Document[]) {
      if (schema.type === "object") schema.additionalProperties ??= false;
    }
    this.#ajv.addSchema(this.#document, "document");
  }

  check(pointer: string, value: unknown): void {
    let validate = this.#validators.get(pointer);
    if (validate === undefined) {
      validate = this.#ajv.compile({ $ref: `document#${pointer}` });
      this.#validators.set(pointer, validate);
    }
    expect(validate(value), `${pointer}: ${JSON.stringify(validate.errors)} in ${JSON.stringify(value)}`).toBe(true);
  }
}

function pointerTo(...keys: string[]): string {
  return keys.map((key) => `/${encodeURIComponent(key.replaceAll("~", "~0").replaceAll("/", "~1"))}`).join("");
}

/** What the answers that a document announces need to come about. */
async function world(): Promise<{ serving: Serving; document: Document; jobId: string; ended: string }> {
  const serving = await serve({ expectFaults: true });
  const { runtime, server } = serving;
  registerOperations(runtime);
  const ends = new Set<number>([EventKind.WORKER_ENDED, EventKind.WORKER_REMOVED]);
  for (const kind of kindByCase.values()) {
    // Only jobs say it, which they do below.
    if (kind === EventKind.JOB_STATE_CHANGED) continue;
    const event = filled(NewEventSchema, kind) as NewEvent;
    // Of a worker that has ended nothing more comes.
    await runtime.publish([{ ...event, workerId: ends.has(kind) ? `w${kind}` : "w", jobId: "" }]);
  }
  const jobId = await submit(server.url, { operation: "hold", params: { a: [1, { b: null }] }, workerId: "w" });
  const ended = await submit(server.url, { operation: "tell", params: { texts: ["x"] }, idempotencyKey: "once" });
  await (await openSse(`${server.url}/v1/jobs/${ended}/events`)).rest();
  const document = await (await fetch(`${server.url}/openapi.json`)).json();
  return { serving, document, jobId, ended };
}

it("what routes answer is what the document says, for every status of every method", async () => {
  const { serving, document, jobId, ended } = await world();
  const { server, log } = serving;
  const checker = new Checker(document);
  const seen = new Set<string>();

  /** Makes a request and checks its answer. */
  const ask = async (operation: string, path: string, init: RequestInit = {}): Promise<Response> => {
    const [method = "", pattern = ""] = operation.split(" ");
    const answer = await fetch(server.url + path, {
      method,
      ...init,
      headers: { "content-type": "application/json", ...init.headers },
    });
    const status = String(answer.status);
    const { responses } = document.paths[pattern][method.toLowerCase()];
    const key = status in responses ? status : "default";
    seen.add(`${operation} ${key}`);
    const announced = responses[key];
    for (const name of Object.keys(announced.headers ?? {})) expect(answer.headers.get(name), name).not.toBeNull();
    const type = answer.headers.get("content-type");
    const text = await answer.clone().text();
    expect([operation, status, type]).toEqual([operation, status, Object.keys(announced.content ?? {})[0] ?? null]);
    if (text === "") return answer;
    const base = ["paths", pattern, method.toLowerCase(), "responses", key, "content", type as string];
    if (type !== "text/event-stream") checker.check(pointerTo(...base, "schema"), JSON.parse(text));
    return answer;
  };
  const twice = async (operation: string, path: string): Promise<void> => {
    const first = await ask(operation, path);
    await ask(operation, path, { headers: { "if-none-match": first.headers.get("etag") as string } });
  };

  await twice("GET /v1/workers", "/v1/workers");
  await twice("GET /v1/workers/{worker_id}", "/v1/workers/w");
  await twice("GET /v1/workers/{worker_id}/transcript", "/v1/workers/w/transcript");
  await twice("GET /v1/jobs/{job_id}", `/v1/jobs/${jobId}`);
  await twice("GET /v1/jobs/{job_id}", `/v1/jobs/${ended}`);
  await twice("GET /openapi.json", "/openapi.json");
  await ask("GET /v1/jobs", "/v1/jobs?states=running,succeeded&page_size=1");
  const body = JSON.stringify({ operation: "tell", params: { texts: ["x"] }, idempotencyKey: "once" });
  await ask("POST /v1/jobs", "/v1/jobs", { body });
  await ask("POST /v1/jobs", "/v1/jobs", { body: body.replace("once", "twice") });
  await ask("POST /v1/jobs/{job_id}/start", `/v1/jobs/${jobId}/start`);
  await ask("DELETE /v1/jobs/{job_id}", `/v1/jobs/${jobId}?message=enough`);
  const streams: readonly (readonly [string, string])[] = [
    ["/v1/events", ""],
    ["/v1/workers/{worker_id}/events", "w"],
    ["/v1/jobs/{job_id}/events", ended],
    ["/v1/jobs/{job_id}/stream", ended],
  ];
  for (const [pattern, id] of streams) {
    const path = pattern.replace(/\{\w+\}/, id);
    const reader = await openSse(`${server.url}${path}?heartbeat=1s`);
    seen.add(`GET ${pattern} 200`);
    const base = ["paths", pattern, "get", "responses", "200", "content", "text/event-stream", "x-event-data"];
    const names = document.paths[pattern].get.responses["200"].content["text/event-stream"]["x-event-data"];
    let closing = "";
    for (let message = await reader.next(); message !== undefined; message = await reader.next()) {
      closing = message.id ?? closing;
      if (message.data.startsWith("[")) continue;
      const name = message.event ?? "";
      checker.check(pointerTo(...base, name in names ? name : "*"), JSON.parse(message.data));
      // A job's stream ends; the others have shown all frames once there is a bookmark.
      if (id !== ended && name === "bookmark") break;
    }
    reader.abandon();
    if (id === ended) await ask(`GET ${pattern}`, path, { headers: { "last-event-id": closing } });
  }
  await ask("GET /healthz", "/healthz");
  await ask("GET /readyz", "/readyz");

  // Errors, by each method.
  const wrong: readonly (readonly [string, string, string?])[] = [
    ["GET /v1/workers", "/v1/workers?page_size=x"],
    ["GET /v1/workers/{worker_id}", "/v1/workers/nobody"],
    ["GET /v1/workers/{worker_id}/transcript", "/v1/workers/nobody/transcript"],
    ["GET /v1/workers/{worker_id}/events", "/v1/workers/nobody/events"],
    ["GET /v1/events", "/v1/events?cursor=x"],
    ["GET /v1/jobs", "/v1/jobs?states=asleep"],
    ["POST /v1/jobs", "/v1/jobs", '{"operation":"nothing"}'],
    ["GET /v1/jobs/{job_id}", "/v1/jobs/none"],
    ["DELETE /v1/jobs/{job_id}", "/v1/jobs/none"],
    ["POST /v1/jobs/{job_id}/start", "/v1/jobs/none/start"],
    ["GET /v1/jobs/{job_id}/events", "/v1/jobs/none/events"],
    ["GET /v1/jobs/{job_id}/stream", "/v1/jobs/none/stream"],
  ];
  for (const [operation, path, text] of wrong) await ask(operation, path, text === undefined ? {} : { body: text });
  await log.close();
  await ask("GET /readyz", "/readyz");

  const announced = operationsOf(document).flatMap((operation) => {
    const [method = "", path = ""] = operation.split(" ");
    return Object.keys(document.paths[path][method.toLowerCase()].responses).map((status) => `${operation} ${status}`);
  });
  // A watch that never ends has no closing cursor; and what can't be wrong never is.
  const unreachable = [
    "GET /v1/events 204",
    "GET /v1/workers/{worker_id}/events 204",
    "GET /healthz default",
    "GET /readyz default",
    "GET /openapi.json default",
  ];
  expect(announced.filter((one) => !seen.has(one)).sort()).toEqual(unreachable.sort());
});

it("every message and member is described as in the contract", () => {
  const { components } = openApiDocument(servedRoutes(routes, new Set(serviceNames))) as Document;
  expect(components.schemas.Job.properties.queuePosition.description).toMatch(/^Place among the queued jobs/);
  for (const [name, { description, properties = {} }] of Object.entries(components.schemas as Document) as Document) {
    expect([name, description]).toEqual([name, expect.stringMatching(/\S/)]);
    if (name === "Problem") continue;
    for (const [member, schema] of Object.entries(properties) as Document) {
      expect([name, member, schema.description]).toEqual([name, member, expect.stringMatching(/\S/)]);
    }
  }
});

it("every kind of event is in the schema of an event", () => {
  const { components } = openApiDocument(servedRoutes(routes, new Set(serviceNames))) as Document;
  expect(Object.keys(components.schemas.Event.properties)).toEqual(EventSchema.fields.map(({ jsonName }) => jsonName));
});
