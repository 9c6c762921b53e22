import { openJetStreamLog } from "../../src/log/jetstream/index.ts";
import { freshNamespace } from "../log/jetstream/support.ts";
import { natsForFile } from "../support/nats.ts";
import { protocolSuite } from "./suite.ts";

const nats = natsForFile();

protocolSuite({
  name: "JetStream",
  open: (options) => openJetStreamLog({ servers: [nats().url], namespace: freshNamespace(), ...options }),
});
