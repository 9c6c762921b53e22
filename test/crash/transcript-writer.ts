import { writeFileSync } from "node:fs";
import { toBinary } from "@bufbuild/protobuf";
import { EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { decodeEvents } from "../../src/events/stored.ts";
import { openEmbeddedLog } from "../../src/log/embedded/index.ts";
import { Runtime } from "../../src/runtime/runtime.ts";
import { conversation, take } from "../runtime/transcripts/support.ts";

// Lets a worker converse as fast as it can, and says on stdout what was committed, until it is killed. It waits for each line to
// be taken: those that process.stdout keeps for who reads slowly would be lost with it.
const stdout = 1;
const [directory = "", life = "0"] = process.argv.slice(2);
const log = await openEmbeddedLog({ directory, durability: "process", retention: { workerEvents: 20 } });
const runtime = new Runtime({ log });
log.subscribe((block) => {
  for (const event of decodeEvents(block, runtime.cursors)) {
    if (event.workerId !== "w") continue;
    writeFileSync(stdout, `${Buffer.from(toBinary(EventSchema, event)).toString("base64")}\n`);
  }
});
const events = conversation("w", Number(life) * 1_000_000);
for (let n = 0; ; n++) await runtime.publish(take(events, 1 + ((n * 7) % 60)));
