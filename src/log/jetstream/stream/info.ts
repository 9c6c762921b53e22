import type { JetStreamManager, StreamInfo, StreamInfoRequestOptions } from "@nats-io/jetstream";
import { NoLeader } from "../errors.ts";

/** Times that a stream is asked for until its leader answers, and milliseconds between two of them. */
const maxQuestions = 5;
const askAgainMs = 50;

/**
 * A stream as its leader has it. A server that has heard of no leader for ten seconds, because it is cut off or has no room, answers
 * too: with what it had then, and sooner than the leader.
 * @throws NoLeader if the leader has not answered, and what the client throws.
 */
export async function streamInfo(
  { streams }: Pick<JetStreamManager, "streams">,
  name: string,
  options: Partial<StreamInfoRequestOptions> = {},
): Promise<StreamInfo> {
  for (let left = maxQuestions - 1; ; left--) {
    const info = await streams.info(name, options);
    // A server that is alone says nothing of a cluster.
    if (info.cluster === undefined || (info.cluster.leader ?? "") !== "") return info;
    if (left === 0) throw new NoLeader(`the leader of ${name} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, askAgainMs));
  }
}
