import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { PublishEventsRequest } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { type ProblemDetails, type Reason, TailraceError } from "../../src/base/errors.ts";
import { createPublisher, type NewEventInit, type NodePublisherOptions } from "../../src/client/index.ts";
import { diagnosticOf } from "../../src/events/diagnostics.ts";
import { startScriptedServer } from "./scripted-server.ts";

export function say(text: string): NewEventInit {
  return { workerId: "w", payload: { case: "narration", value: { action: "say", message: text } } };
}

export const texts = (count: number) => Array.from({ length: count }, (_, i) => `text ${i}`);

export function refusal<R extends Reason>(reason: R, details: ProblemDetails[R]): ConnectError {
  const value = diagnosticOf(new TailraceError(reason, details, `about ${reason}`));
  return new ConnectError(reason, Code.Aborted, undefined, [{ desc: StreamDiagnosticSchema, value }]);
}

type Intervene = (request: PublishEventsRequest, attempt: number, context: HandlerContext) => unknown;

/** A server that keeps producers apart as the protocol says. `intervene` may throw, before or after the commit. */
export async function started(
  options: Partial<NodePublisherOptions> = {},
  intervene: { before?: Intervene; after?: Intervene; added?: number } = {},
) {
  const log: string[] = [];
  const requests: PublishEventsRequest[] = [];
  const producers = new Map<string, { next: bigint; answers: Map<bigint, bigint> }>();
  const server = await startScriptedServer({
    async publish(request, context) {
      requests.push(request);
      await intervene.before?.(request, requests.length, context);
      let producer = producers.get(request.producerId);
      if (producer === undefined) {
        if (request.firstProducerSequence !== 1n) {
          throw refusal("producer_unknown", { producerId: request.producerId });
        }
        producer = { next: 1n, answers: new Map() };
        producers.set(request.producerId, producer);
      }
      let first = producer.answers.get(request.firstProducerSequence);
      if (first === undefined) {
        if (request.firstProducerSequence !== producer.next) {
          const details = { expectedProducerSequence: Number(producer.next), description: "a gap" };
          throw refusal("producer_conflict", details);
        }
        first = BigInt(log.length + 1);
        for (let added = 0; added < (intervene.added ?? 0); added++) log.push("added");
        for (const event of request.events) log.push(event.payload.value?.["message" as never] ?? "");
        producer.answers.set(producer.next, first);
        producer.next += BigInt(request.events.length);
      }
      await intervene.after?.(request, requests.length, context);
      const lastSequence = first + BigInt(request.events.length + (intervene.added ?? 0)) - 1n;
      return { cursor: `c${lastSequence}`, firstSequence: first, lastSequence };
    },
  });
  const retries: number[] = [];
  const clock = new ManualClock();
  const publisher = createPublisher({
    baseUrl: server.url,
    clock,
    backoff: { random: () => 0.5 },
    onRetry({ delayMs }) {
      retries.push(delayMs);
      queueMicrotask(() => clock.advance(delayMs));
    },
    ...options,
  });
  return { publisher, server, log, requests, retries, clock, producers };
}
