/** `tailrace/jetstream`: a log in a stream of NATS JetStream. */
import { openDoor } from "../../base/door.ts";
import type { NatsConnectOptions, NatsTlsOptions } from "./connect-options.ts";
import type { JetStreamLogOptions, openJetStreamLog as OpenJetStreamLog } from "./open.ts";

export type { JetStreamLogOptions, NatsConnectOptions, NatsTlsOptions };

const implementation = await openDoor(
  { part: "tailrace/jetstream", packages: ["@nats-io/transport-node", "@nats-io/jetstream", "@nats-io/kv"] },
  () => import("./open.ts"),
);

/**
 * Opens the log of a namespace, or makes one. One server at a time has it, unless `shared`. Where one was killed this takes 10 s.
 * @throws TailraceError `log_open_failed`, whose message says what to do (`locked`: another server has it), or
 *   `invalid_request` for options.
 */
export const openJetStreamLog: typeof OpenJetStreamLog = implementation.openJetStreamLog;
