import { EventKind, EventKindSchema, EventSchema } from "../../gen/tailrace/v1/event_pb.ts";

/** Name of a kind as SSE event names and query parameters have it ("output"): the name of the payload field. */
const names = new Map<number, string>();
/** The kinds by that name. */
const byName = new Map<string, EventKind>();

for (const value of EventKindSchema.values) {
  if (value.number === EventKind.UNSPECIFIED) continue;
  const name = value.name.slice("EVENT_KIND_".length).toLowerCase();
  names.set(value.number, name);
  byName.set(name, value.number as EventKind);
}

/** Payload fields of an event by the name that protobuf-es gives them ("workerCreated"), with their kind. */
export const kindByCase: ReadonlyMap<string, number> = new Map(
  EventSchema.fields.filter((field) => field.oneof !== undefined).map((field) => [field.localName, field.number]),
);

/** The name of a kind; undefined for one that this release does not know. */
export function kindName(kind: number): string | undefined {
  return names.get(kind);
}

/** The kind of a name in lower case; undefined for one that this release does not know. */
export function kindOfName(name: string): EventKind | undefined {
  return byName.get(name);
}

/** Whether this release knows the kind. */
export function isKnownKind(kind: number): boolean {
  return names.has(kind);
}

/** Kinds that only the runtime says: PublishEvents refuses them. */
export const runtimeOnlyKinds: ReadonlySet<number> = new Set([
  EventKind.RUNTIME_STARTED,
  EventKind.RUNTIME_STOPPED,
  EventKind.WORKER_CREATED,
  EventKind.WORKER_INPUT_ACCEPTED,
  EventKind.WORKER_STOPPED,
  EventKind.WORKER_CANCELLED,
  EventKind.WORKER_REMOVED,
  EventKind.WORKER_RESTORED,
  EventKind.JOB_STATE_CHANGED,
]);

/** Kinds that end the stream of their worker. */
export const workerEndKinds: ReadonlySet<number> = new Set([EventKind.WORKER_ENDED, EventKind.WORKER_REMOVED]);

/** Kinds that end the stream of their job, if what they say is its end. */
export const jobEndKinds: ReadonlySet<number> = new Set([EventKind.JOB_STATE_CHANGED]);
