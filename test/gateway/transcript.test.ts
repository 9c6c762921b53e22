import { fromJson, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { GetTranscriptResponseSchema } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { conversation, getTranscript, take } from "../runtime/transcripts/support.ts";
import { serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";

const get = (url: string, headers: Record<string, string> = {}) => fetch(url, { headers });

async function page(answer: Response) {
  expect(answer.status).toBe(200);
  return fromJson(GetTranscriptResponseSchema, JSON.parse(await answer.text()));
}

const numbers = (entries: readonly { readonly entryNumber: bigint }[]) =>
  entries.map(({ entryNumber }) => Number(entryNumber));

describe("a transcript as JSON", () => {
  it("is what the runtime answers, with what is in flight and the cursor to watch from", async () => {
    const { runtime, server } = await serve();
    const events = conversation("w");
    await runtime.publish(take(events, 13));
    const answer = await get(`${server.url}/v1/workers/w/transcript?page_size=1000`);
    const cursor = answer.headers.get("tailrace-cursor") as string;
    const transcript = await page(answer);
    expect(toJson(GetTranscriptResponseSchema, transcript)).toEqual(
      toJson(GetTranscriptResponseSchema, await getTranscript(runtime, "w")),
    );
    expect(transcript.cursor).toBe(cursor);
    expect(transcript.entries.filter(({ isFinal }) => !isFinal).map(({ content }) => content.case)).toEqual([
      "text",
      "toolCall",
    ]);
    const reader = await openSse(`${server.url}/v1/workers/w/events?cursor=${cursor}`);
    await runtime.publish(take(events, 1));
    expect((await reader.find("command_output", "command_ended", "tool_call_arguments_delta")).event).toBe(
      "command_output",
    );
  });

  it("comes in pages, in both directions, and by what changed", async () => {
    const { runtime, server } = await serve();
    const events = conversation("w");
    await runtime.publish(take(events, 19));
    const read = async (query: string) => page(await get(`${server.url}/v1/workers/w/transcript?${query}`));
    const first = await read("page_size=3");
    expect(numbers(first.entries)).toEqual([1, 2, 3]);
    await runtime.publish(take(events, 1));
    expect(numbers((await read(`page_token=${first.nextPageToken}`)).entries)).toEqual([4, 5]);
    const newest = await read("page_size=2&newest_first=true");
    expect(numbers(newest.entries)).toEqual([4, 5]);
    expect(numbers((await read(`newest_first=true&page_token=${newest.nextPageToken}`)).entries)).toEqual([1, 2, 3]);
    expect(numbers((await read(`changed_since=${first.revision}`)).entries)).toEqual([5]);
  });

  it("is 304 with the cursor of now until something of it changes", async () => {
    const { runtime, server } = await serve();
    const url = `${server.url}/v1/workers/w/transcript`;
    await runtime.publish(take(conversation("w"), 8));
    const first = await get(url);
    const tag = first.headers.get("etag") as string;
    const { cursor } = await runtime.worker("w").stdout("not of the transcript");
    const same = await get(url, { "if-none-match": tag });
    expect([same.status, await same.text(), same.headers.get("etag")]).toEqual([304, "", tag]);
    expect(same.headers.get("tailrace-cursor")).toBe(cursor);
    await runtime.publish([
      { workerId: "w", payload: { case: "textDelta", value: { blockId: "b0", offset: 13n, text: "!" } } },
    ]);
    const changed = await get(url, { "if-none-match": tag });
    expect(changed.status).toBe(200);
    expect(changed.headers.get("etag")).not.toBe(tag);
  });

  it.each([
    ["page_size=1001", 400, "page_size"],
    ["page_token=t1.0", 400, "page_token"],
    // Of the list of jobs.
    ["page_token=j1", 400, "page_token"],
    ["changed_since=%00", 400, "changed_since"],
    ["newest_first=perhaps", 400, "newest_first"],
    ["if_revision_not=x", 400, "if_revision_not"],
  ])("refuses %s by its name", async (query, status, field) => {
    const { runtime, server } = await serve();
    await runtime.publish(take(conversation("w"), 1));
    const answer = await get(`${server.url}/v1/workers/w/transcript?${query}`);
    const problem = JSON.parse(await answer.text());
    expect([answer.status, problem.diagnostic?.invalidRequest?.field]).toEqual([status, field]);
  });

  it("of a worker that does not exist is 404", async () => {
    const { server } = await serve();
    const answer = await get(`${server.url}/v1/workers/nobody/transcript`);
    expect([answer.status, JSON.parse(await answer.text()).diagnostic.workerNotFound.workerId]).toEqual([
      404,
      "nobody",
    ]);
  });
});
