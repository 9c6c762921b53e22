// Closes a runtime whose only job ignores its abort, in a process that nothing else holds alive. Argument: a directory.
import { openEmbeddedLog, Runtime } from "../../../src/index.ts";

const directory = process.argv[2] as string;
const runtime = new Runtime({ log: await openEmbeddedLog({ directory }), onError: () => undefined });
const called = Promise.withResolvers<void>();
runtime.operation("deaf", { cancelGraceMs: 200 }, () => {
  called.resolve();
  return new Promise(() => undefined);
});
await runtime.submit("deaf");
await called.promise;
await runtime.close();
process.stdout.write("closed\n");
