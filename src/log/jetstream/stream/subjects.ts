/** What a token of a subject says where it names nobody, and where a message has events of several. */
const nobody = "-";
const several = "~";

/** What a namespace may be: it becomes part of the names of streams, buckets and subjects. */
const namespacePattern = /^[A-Za-z0-9_-]{1,64}$/;

export function isNamespace(namespace: string): boolean {
  return namespacePattern.test(namespace);
}

/** The stream of a namespace, and the bucket with what is known of the stream. */
export function streamOf(namespace: string): string {
  return `TAILRACE_${namespace}`;
}

export function bucketOf(namespace: string): string {
  return `TAILRACE_${namespace}_META`;
}

/** The stream below the bucket. */
export function bucketStreamOf(namespace: string): string {
  return `KV_${bucketOf(namespace)}`;
}

export function bucketSubjectsOf(namespace: string): string {
  return `$KV.${bucketOf(namespace)}.>`;
}

/** Every subject of a namespace. */
export function subjectsOf(namespace: string): string {
  return `tailrace.${namespace}.>`;
}

/**
 * Subject of a message with events. Undefined: it has those of several workers, or of several jobs. Ids are any text, and
 * a token is not, so they are in base64url, which never is one of the two other tokens: they are no length of it.
 */
export function eventSubject(namespace: string, workerId: string | undefined, jobId: string | undefined): string {
  return `tailrace.${namespace}.e.${tokenOf(workerId)}.${tokenOf(jobId)}`;
}

/** Subject of a message without events. */
export function changeSubject(namespace: string): string {
  return `tailrace.${namespace}.c`;
}

let lastId = "";
let lastToken = nobody;

function tokenOf(id: string | undefined): string {
  if (id === undefined) return several;
  if (id === "") return nobody;
  // Events mostly come in runs of one worker.
  if (id !== lastId) [lastId, lastToken] = [id, Buffer.from(id).toString("base64url")];
  return lastToken;
}
