import { createParser } from "eventsource-parser";
import { describe, expect, it } from "vitest";
import { serve } from "../support/serving.ts";
import { Program } from "./program.ts";
import { type Sighting, watchLeaveResume } from "./scenario.ts";

function readSse(stdout: string): Sighting {
  const ids: string[] = [];
  let cursor = "";
  const parser = createParser({
    onEvent: ({ data, id }) => {
      if (id !== undefined) cursor = id;
      const { correlationId } = JSON.parse(data);
      if (correlationId !== undefined) ids.push(correlationId);
    },
  });
  parser.feed(stdout);
  return { ids, cursor };
}

function curl(url: string, ...args: string[]): Program {
  return new Program({
    file: "curl",
    args: ["-N", "-sS", ...args, url],
    read: readSse,
    install: "Install it: apt-get install curl",
  });
}

describe.each([
  { version: "HTTP/1.1", args: ["--http1.1"] },
  { version: "HTTP/2", args: ["--http2-prior-knowledge"] },
])("curl -N over $version", ({ args }) => {
  it("watches, vanishes and resumes by Last-Event-ID", async () => {
    await watchLeaveResume((url, cursor) =>
      curl(`${url}/v1/events`, ...args, ...(cursor === undefined ? [] : ["-H", `Last-Event-ID: ${cursor}`])),
    );
  });

  it("resumes by query", async () => {
    await watchLeaveResume((url, cursor) =>
      curl(`${url}/v1/workers/w/events${cursor === undefined ? "" : `?cursor=${cursor}`}`, ...args),
    );
  });

  it("is told what is wrong as a problem", async () => {
    const { server } = await serve();
    const { stdout } = await curl(`${server.url}/v1/events?cursor=none`, ...args, "-w", "%{http_code}").rest();
    expect(stdout).toMatch(/"cursorMalformed".*400$/);
  });
});
