import type { DescMessage } from "@bufbuild/protobuf";
import { StreamDiagnosticSchema } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import { bodyType } from "../body.ts";
import type { Parameter } from "../parameters.ts";
import type { Answer, JsonSchema, Operation, Route } from "../route.ts";
import { Schemas } from "./schemas.ts";

/** The OpenAPI 3.1 document of these routes. Everything in it is what the routes themselves work with. */
export function openApiDocument(routes: readonly Route[]): JsonSchema {
  const schemas = new Schemas();
  const problem = schemas.named("Problem", {
    type: "object",
    description: "A problem (RFC 9457). Faults of HTTP itself have no diagnostic.",
    properties: {
      type: { type: "string" },
      title: { type: "string" },
      status: { type: "integer" },
      detail: { type: "string" },
      diagnostic: schemas.message(StreamDiagnosticSchema),
    },
    required: ["type", "title", "status", "detail"],
  });
  const fault = { description: "An error.", content: { "application/problem+json": { schema: problem } } };
  return {
    openapi: "3.1.0",
    info: {
      title: "Tailrace",
      version: "v1",
      description:
        "Bodies are proto3 JSON of the package tailrace.v1: members that have their default are left out. The same services " +
        "are there for Connect, gRPC and gRPC-Web on the same port.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    paths: Object.fromEntries(
      routes.map(({ path, operations }) => [
        path,
        {
          ...pathParameters(path),
          ...Object.fromEntries(
            Object.entries(operations).map(([method, operation]) => [
              method.toLowerCase(),
              operationOf(operation, schemas, fault),
            ]),
          ),
        },
      ]),
    ),
    components: { schemas: schemas.components },
  };
}

function pathParameters(path: string): JsonSchema {
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    description: "An id, percent-encoded.",
    schema: { type: "string" },
  }));
  return parameters.length === 0 ? {} : { parameters };
}

function operationOf(operation: Operation, schemas: Schemas, fault: JsonSchema): JsonSchema {
  const { name, summary, query = [], headers = [], body, answers } = operation;
  const parameters = [...query.map((p) => parameterOf(p, "query")), ...headers.map((p) => parameterOf(p, "header"))];
  return {
    operationId: name,
    summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: body.required,
            content: { [bodyType]: { schema: schemas.request(body.message) } },
          },
        }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, answerOf(answer, schemas)])),
      default: fault,
    },
  };
}

function parameterOf({ name, description, schema }: Parameter, place: "query" | "header"): JsonSchema {
  return { name, in: place, required: false, description, schema };
}

function answerOf({ description, body, stream, headers = [] }: Answer, schemas: Schemas): JsonSchema {
  const content =
    stream === undefined
      ? body && { "application/json": { schema: isMessage(body) ? schemas.message(body) : body } }
      : { "text/event-stream": eventStream(stream, schemas) };
  return {
    description,
    ...(headers.length === 0
      ? {}
      : { headers: Object.fromEntries(headers.map((header) => [header.name, headerOf(header)])) }),
    ...(content === undefined ? {} : { content }),
  };
}

function headerOf({ description, schema }: Parameter): JsonSchema {
  return { description, schema };
}

/** OpenAPI 3.1 has no word for what is inside of an event stream: `x-event-data` has the schema of `data:` by the event's name. */
function eventStream(stream: NonNullable<Answer["stream"]>, schemas: Schemas): JsonSchema {
  return {
    schema: { type: "string" },
    "x-event-data": Object.fromEntries(Object.entries(stream).map(([name, desc]) => [name, schemas.message(desc)])),
  };
}

function isMessage(body: NonNullable<Answer["body"]>): body is DescMessage {
  return "kind" in body && body["kind"] === "message" && "typeName" in body;
}
