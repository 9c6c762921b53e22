/** `tailrace/jetstream`: a log in a stream of NATS JetStream. */
import { openDoor } from "../../base/door.ts";
import type { NatsConnectOptions, NatsTlsOptions } from "./connection/connect-options.ts";
import type { JetStreamLogOptions, openJetStreamLog as OpenJetStreamLog } from "./open.ts";

export type { JetStreamLogOptions, NatsConnectOptions, NatsTlsOptions };

const implementation = await openDoor(
  { part: "tailrace/jetstream", packages: ["@nats-io/transport-node", "@nats-io/jetstream", "@nats-io/kv"] },
  () => import("./open.ts"),
);

/**
 * Opens the log of a namespace, or makes one. Any number of servers may have it open.
 * @throws TailraceError `log_open_failed`, whose message says what to do, or `invalid_request` for options.
 */
export const openJetStreamLog: typeof OpenJetStreamLog = implementation.openJetStreamLog;
