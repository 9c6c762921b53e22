/**
 * What a server can serve of a runtime, each of which can have a port of its own: watching and reading what is known
 * (`observe`), publishing events (`publish`), and submitting, starting, cancelling and reading jobs (`jobs`).
 */
export const serviceNames = ["observe", "publish", "jobs"] as const;

export type ServiceName = (typeof serviceNames)[number];
