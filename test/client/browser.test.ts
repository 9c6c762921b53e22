import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { importsOf } from "../../scripts/imports/parse.ts";
import { createPublisher, watch } from "../../src/client/browser.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { numbers, ScriptedLog, startScriptedServer } from "./scripted-server.ts";

/** Every module that a browser would load from a door, ours and those of packages, and what each one imports. */
function closureOf(entry: string): Map<string, string[]> {
  const modules = new Map<string, string[]>();
  const open = [pathToFileURL(entry).href];
  for (let url = open.pop(); url !== undefined; url = open.pop()) {
    if (modules.has(url)) continue;
    const specifiers = importsOf(readFileSync(fileURLToPath(url), "utf8"))
      .filter((one) => !one.typesOnly)
      .map((one) => one.specifier ?? "(computed)");
    modules.set(url, specifiers);
    for (const specifier of specifiers) if (!isBuiltin(specifier)) open.push(import.meta.resolve(specifier, url));
  }
  return modules;
}

describe("the client for browsers", () => {
  it("reaches nothing of Node, through whatever it imports", () => {
    const modules = closureOf(join(import.meta.dirname, "../../src/client/browser.ts"));
    const builtins = [...modules].flatMap(([url, specifiers]) =>
      specifiers.filter((specifier) => isBuiltin(specifier)).map((specifier) => `${url} imports ${specifier}`),
    );
    expect(builtins).toEqual([]);
    const reached = [...modules.keys()];
    // A walk that stops short would find nothing either.
    for (const part of [
      "src/client/watch.ts",
      "@connectrpc/connect-web/",
      "@connectrpc/connect/",
      "@bufbuild/protobuf/",
    ]) {
      expect(reached.some((url) => url.includes(part))).toBe(true);
    }
    expect(reached.filter((url) => /connect-node|file-checkpoint/.test(url))).toEqual([]);
  });

  it("would notice: the door for Node reaches Node", () => {
    const modules = closureOf(join(import.meta.dirname, "../../src/client/index.ts"));
    expect([...modules.values()].flat().some((specifier) => isBuiltin(specifier))).toBe(true);
  });

  it("watches and resumes over fetch", async () => {
    const log = new ScriptedLog();
    log.add(2_000, "x".repeat(50));
    const server = await startScriptedServer({ watch: (request, context) => log.follow(request, context, 50) });
    const proxy = await startTcpProxy(server.port);
    proxy.cutAfter(100_003);
    const seen: number[] = [];
    for await (const event of watch({ baseUrl: proxy.url, backoff: { random: () => 0 } })) {
      seen.push(Number(event.sequence));
      if (seen.length === 2_000) break;
    }
    expect(seen).toEqual(numbers(2_000));
    expect(server.requests).toHaveLength(2);
  });

  it("publishes", async () => {
    const server = await startScriptedServer({
      publish: (request) => ({ cursor: "c", firstSequence: 1n, lastSequence: BigInt(request.events.length) }),
    });
    await using publisher = createPublisher({ baseUrl: server.url });
    const receipt = await publisher.publish([
      { workerId: "w", payload: { case: "custom", value: { type: "t" } } },
      { workerId: "w", payload: { case: "custom", value: { type: "t" } } },
    ]);
    expect(receipt).toEqual({ cursor: "c", firstSequence: 1n, lastSequence: 2n });
  });
});
