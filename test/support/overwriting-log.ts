import type { EventLog } from "../../src/log/contract.ts";

/**
 * A log as those see it who read blocks too long: what its subscribers are done with is overwritten in that moment, as the
 * log on JetStream does it when the memory serves again.
 */
export function overwritingLog(log: EventLog): EventLog {
  const subscribe: EventLog["subscribe"] = (listener) =>
    log.subscribe((block, done) => {
      // The log itself may go on reading the bytes.
      const bytes = block.bytes.slice();
      listener({ ...block, bytes }, () => {
        bytes.fill(0xff);
        done();
      });
    });
  return new Proxy(log, {
    get(target, name) {
      if (name === "subscribe") return subscribe;
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
