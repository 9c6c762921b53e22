import { describe, expect, it } from "vitest";
import { rpcEdges } from "../edges/index.ts";
import { type RpcEdge, RpcFailure } from "../edges/rpc.ts";
import { expectDiagnostic } from "../expect-diagnostic.ts";
import { serveOverFaulty } from "../faulty-world.ts";
import { outcomes } from "../reasons.ts";
import { retentionOfRefusals } from "../refusals.ts";
import { type RefusedCall, refusedCalls } from "../refused-calls.ts";
import type { LogUnderTest, World } from "../world.ts";

/** Calls with one answer that are refused: publishing, pages of events, workers. */
export function callSuite(logs: LogUnderTest): void {
  const refuse = async (edge: RpcEdge, refused: RefusedCall): Promise<{ world: World; failure: unknown }> => {
    const { world, log } = await serveOverFaulty(logs, { retention: retentionOfRefusals });
    const request = await refused.request(world, log);
    const client = edge.client(world.url);
    try {
      const answer = await client.unary(refused.method, request as Record<string, unknown>);
      throw new Error(`it was answered: ${answer.$typeName}`);
    } catch (failure) {
      return { world, failure };
    } finally {
      client.close();
    }
  };

  describe.each(refusedCalls)("refused $name", (refused) => {
    const { reason, details = {} } = refused;

    it.each(rpcEdges)("has the code and detail over $name", async (edge) => {
      const { world, failure } = await refuse(edge, refused);
      if (!(failure instanceof RpcFailure)) throw failure;
      expect(failure.code).toBe(outcomes[reason].code);
      expectDiagnostic(failure.detail, reason, details, world);
    });
  });
}
