import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { limits } from "../../../src/base/limits.ts";

const program = fileURLToPath(new URL("./throwing-handlers.ts", import.meta.url));

interface Ending {
  readonly state: JobState;
  readonly reason: string;
  readonly message: string;
  readonly bytes: number;
}

test.each(["standard", "throwing", "rejecting"])(
  "whatever a handler throws or gives ends its job and nothing else, with a report that is %s",
  async (report) => {
    // It rejects if the process ends in any way but by itself.
    const ran = promisify(execFile)(process.execPath, [program, report], { maxBuffer: 2 ** 30 });
    const { stdout, stderr } = await ran;
    const endings = Object.entries(JSON.parse(stdout) as Record<string, Ending>);
    expect(endings.length).toBe(16 * 3 + 3);
    for (const [name, { state, reason, message, bytes }] of endings) {
      const aborted = name.startsWith("when aborted");
      expect([name, state]).toEqual([name, aborted ? JobState.CANCELLED : JobState.FAILED]);
      expect(message, name).not.toBe("");
      expect(reason, name).not.toBe("");
      expect(bytes, name).toBeLessThanOrEqual(limits.maxJobMessageBytes + limits.maxJobReasonBytes);
    }
    const messages = Object.fromEntries(endings.map(([name, { message }]) => [name, message]));
    expect(messages).toMatchObject({
      "throws a revoked proxy": "The job failed.",
      "throws its own inspection": "inspected",
      "rejects with a symbol": "Symbol(odd)",
      "throws a failure of other types": "[object Object]",
      "rejects with a huge message": "x".repeat(40),
      "gives a result of proxies": "it throws when it is looked at",
      "gives a thenable that rejects with a proxy": "The job failed.",
    });
    // The operator hears of it, also where it can't be shown whole.
    expect(stderr).toContain("(throws getters of everything) failed");
    expect(stderr.includes("onError")).toBe(report !== "standard");
  },
);
