import { describe, expect, it, onTestFinished } from "vitest";
import { JobState } from "../../gen/tailrace/v1/payloads_pb.ts";
import { type NodeWatchOptions, type WatchStatus, watch } from "../../src/client/index.ts";
import { JobFailure } from "../../src/runtime/jobs/operation.ts";
import { Stage } from "../conformance/stage.ts";
import { idsOf, publishIds } from "../conformance/world.ts";
import { serve } from "../support/serving.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

/** Follows a job and keeps the correlation ids of its events. */
function follow(options: NodeWatchOptions) {
  const ids: string[] = [];
  const statuses: WatchStatus[] = [];
  const watched = watch({
    backoff: { initialMs: 5, maxMs: 20 },
    kinds: ["custom"],
    ...options,
    onStatus(status) {
      statuses.push(status);
      options.onStatus?.(status);
    },
  });
  const ended = (async () => {
    for await (const { correlationId } of watched) ids.push(correlationId);
  })();
  onTestFinished(async () => {
    await watched.close();
    await ended.catch(() => undefined);
  });
  return { ids, statuses, watched, ended };
}

describe.each(["1.1", "2"] as const)("the watch of a job over HTTP/%s", (httpVersion) => {
  it("sees every event once over five cuts, and ends with what became of the job", async () => {
    const { runtime, server } = await serve();
    const job = await new Stage(runtime).submit();
    const proxy = await startTcpProxy(server.address.port);
    let cuts = 0;
    proxy.cutAfter(3_001);
    const { ids, statuses, watched, ended } = follow({
      baseUrl: proxy.url,
      httpVersion,
      jobId: job.id,
      onStatus(status) {
        if (status.kind === "reconnecting" && ++cuts < 5) proxy.cutAfter(3_001 + cuts * 77);
      },
    });
    const said = idsOf("e", 400);
    for (const id of said) {
      await publishIds(runtime, "w", ["no"]);
      await job.say([id]);
    }
    await job.fail(new JobFailure("it broke", { exitCode: 3 }));
    await ended;
    expect(ids).toEqual(said);
    expect(cuts).toBe(5);
    expect(watched.outcome).toMatchObject({
      case: "job",
      value: { state: JobState.FAILED, reason: "exit_code", exitCode: 3, operation: "play" },
    });
    expect(statuses.at(-1)).toMatchObject({ kind: "ended", outcome: watched.outcome });

    const again = follow({ baseUrl: server.url, httpVersion, jobId: job.id, cursor: watched.cursor as string });
    await again.ended;
    expect(again.ids).toEqual([]);
    expect(again.watched.outcome).toEqual(watched.outcome);
  });
});

describe("the watch of a job", () => {
  it("begins where the job was submitted", async () => {
    const { runtime, server } = await serve();
    await publishIds(runtime, "w", ["no"]);
    const job = await new Stage(runtime).submit();
    await job.say(["1", "2"]);
    await job.succeed();
    const { ids, ended, watched } = follow({ baseUrl: server.url, jobId: job.id, cursor: job.cursor });
    await ended;
    expect(ids).toEqual(["1", "2"]);
    expect(watched.outcome).toMatchObject({ case: "job", value: { state: JobState.SUCCEEDED } });
  });

  it("stops for a job that is not there", async () => {
    const { server } = await serve();
    await expect(follow({ baseUrl: server.url, jobId: "nothing" }).ended).rejects.toMatchObject({
      reason: "job_not_found",
      details: { jobId: "nothing" },
    });
  });
});
