import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { natsForFile } from "../../support/nats.ts";
import type { Implementation } from "../harness.ts";
import { logSuite } from "../suite.ts";
import { deleteStream, freshNamespace } from "./support.ts";

const nats = natsForFile();

const jetStream: Implementation = {
  name: "JetStream",
  create() {
    const namespace = freshNamespace();
    return {
      open: (options) => openJetStreamLog({ servers: [nats().url], namespace, ...options }),
      wipe: () => deleteStream(nats().url, namespace),
      durable: true,
    };
  },
};

logSuite(jetStream);
