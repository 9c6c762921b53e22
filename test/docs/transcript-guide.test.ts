import { expect, test } from "vitest";
import { readPage, runFile, writeFilesOf } from "../support/pages.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { eventually } from "../support/until.ts";

/** What the conversation of one run looks like once it is over, by the guide's own program. */
const conversation = [1, 2, 3].flatMap((turn) => [
  `user: Question ${turn}?`,
  `agent: Let me look at number ${turn}.`,
  `look({"number":${turn}}): saw ${turn}`,
]);

/** The last line of each entry, without its number. */
function finished(lines: readonly string[]): string[] {
  const byEntry = new Map(lines.map((line) => [Number.parseInt(line, 10), line.slice(line.indexOf(" ") + 1)]));
  return [...byEntry].sort(([a], [b]) => a - b).map(([, line]) => line);
}

test("the programs of the guide run as they are: live and polled show the same, also after a restart", async () => {
  const directory = scratchDirectory();
  expect(writeFilesOf(readPage("docs/guides/transcript.md"), directory)).toEqual(["agent.ts", "follow.ts", "poll.ts"]);

  const agent = runFile(directory, "agent.ts", { LISTEN: "127.0.0.1:0" });
  await eventually(() => expect(agent.lines).toHaveLength(1));
  const env = { RUNTIME_URL: (agent.lines[0] as string).replace("runtime at ", "") };

  const follow = runFile(directory, "follow.ts", env);
  expect(await follow.closed).toBe(0);
  expect(finished(follow.lines)).toEqual(conversation);

  const poll = runFile(directory, "poll.ts", env);
  expect(await poll.closed).toBe(0);
  expect(poll.lines).toEqual(["10 entries", "10 entries, nothing new", "10 entries, nothing new"]);

  expect(await agent.kill("SIGTERM")).toBe(0);
  // The agent says it all once more, after what it said before.
  const second = runFile(directory, "agent.ts", { LISTEN: "127.0.0.1:0" });
  await eventually(() => expect(second.lines).toHaveLength(1));
  const again = runFile(directory, "poll.ts", { RUNTIME_URL: (second.lines[0] as string).replace("runtime at ", "") });
  expect(await again.closed).toBe(0);
  expect(Number.parseInt(again.lines[0] as string, 10)).toBeGreaterThanOrEqual(10);
});
