import { headers, type NatsConnection, type errors as natsErrors } from "@nats-io/transport-node";
import { permissionOf } from "../errors.ts";
import { bucketOf, changeSubject, eventSubject, streamOf } from "../stream/subjects.ts";

/** Milliseconds that NATS has to answer whether something is allowed. What is not, it says at once. */
const answerMs = 2_000;

/** Stands where a name is asked for, and names nothing. */
const nothing = "-";

/** Something that a log does, in a way that changes nothing. */
interface Attempt {
  readonly subject: string;
  /** What is asked of the JetStream API. Undefined: it is a message for a stream, which refuses it. */
  readonly question: object | undefined;
}

/** What appends need. */
export function writesOf(namespace: string): readonly Attempt[] {
  return [eventSubject(namespace, "", ""), changeSubject(namespace)].map(message);
}

/** Everything that a log needs after it was made; what makes it, and looks at it, is done whenever one is opened. */
export function allOf(namespace: string): readonly Attempt[] {
  const stream = streamOf(namespace);
  const name = bucketOf(namespace);
  const bucket = `KV_${name}`;
  const keys = ["identity", "lease", "snapshot", `snapshot.${nothing}.0`].map((key) => `$KV.${name}.${key}`);
  return [
    ...writesOf(namespace),
    ...keys.map(message),
    // The limit of a full stream is raised by it. Names that differ are refused.
    api(`STREAM.UPDATE.${stream}`, { name: nothing }),
    api(`STREAM.PURGE.${stream}`, { filter: `tailrace.${namespace}.${nothing}` }),
    api(`STREAM.PURGE.${bucket}`, { filter: `$KV.${name}.${nothing}` }),
    // No stream has a message 0.
    api(`STREAM.MSG.DELETE.${stream}`, { seq: 0, no_erase: true }),
    api(`STREAM.MSG.GET.${stream}`, { seq: 1 }),
    api(`STREAM.MSG.GET.${bucket}`, { seq: 1 }),
    api(`DIRECT.GET.${stream}`, { seq: 1 }),
    api(`DIRECT.GET.${bucket}.$KV.${name}.lease`, {}),
    api(`CONSUMER.INFO.${stream}.${nothing}`, {}),
    api(`CONSUMER.DELETE.${stream}.${nothing}`, {}),
    api(`CONSUMER.MSG.NEXT.${stream}.${nothing}`, { batch: 1, no_wait: true }),
  ];
}

/** Tries everything at once, and gives what NATS refuses for want of a permission. Other answers, and none, say nothing. */
export async function missingRight(
  connection: NatsConnection,
  attempts: readonly Attempt[],
): Promise<InstanceType<typeof natsErrors.PermissionViolationError> | undefined> {
  const refusals = await Promise.all(
    attempts.map(async ({ subject, question }) => {
      try {
        const payload = question === undefined ? "" : JSON.stringify(question);
        const options = question === undefined ? { headers: refusedHeaders() } : {};
        await connection.request(subject, payload, { timeout: answerMs, ...options });
        return undefined;
      } catch (error) {
        return permissionOf(error);
      }
    }),
  );
  return refusals.find((refusal) => refusal !== undefined);
}

/** A stream refuses what expects another stream, whatever else holds. */
function refusedHeaders() {
  const own = headers();
  own.set("Nats-Expected-Stream", nothing);
  return own;
}

function message(subject: string): Attempt {
  return { subject, question: undefined };
}

function api(endpoint: string, question: object): Attempt {
  return { subject: `$JS.API.${endpoint}`, question };
}
