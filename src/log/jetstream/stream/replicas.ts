/** Servers of NATS that may hold a message: a stream can have no more. */
export const maxReplicas = 5;
