import { setTimeout as delay } from "node:timers/promises";
import { type PublishEventsResponse, PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { connectHttp1 } from "../conformance/edges/connect.ts";
import { RpcFailure } from "../conformance/edges/rpc.ts";

/** A batch that the server acknowledged. */
export interface Acknowledged {
  readonly ids: readonly string[];
  readonly response: PublishEventsResponse;
}

/** Publishes batches one after the other under a producer id, each until it is acknowledged, whatever happens to the server. */
export class Producer {
  readonly workerId: string;
  readonly acknowledged: Acknowledged[] = [];
  /** Tries that got no answer: whether they were written is not known. */
  unanswered = 0;
  readonly #url: () => string;
  #next = 1;
  #stopped = false;

  constructor(workerId: string, url: () => string) {
    this.workerId = workerId;
    this.#url = url;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Publishes until `stop`, then settles when the last batch is acknowledged. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      const count = 1 + (this.#next % 7);
      const ids = Array.from({ length: count }, (_, index) => `${this.workerId}-${this.#next + index}`);
      this.acknowledged.push({ ids, response: await this.#publish(ids) });
      this.#next += count;
    }
  }

  async #publish(ids: readonly string[]): Promise<PublishEventsResponse> {
    const events = ids.map((id) => ({
      workerId: this.workerId,
      correlationId: id,
      payload: { case: "custom" as const, value: { type: "load", data: Buffer.alloc(200, id) } },
    }));
    const request = { producerId: `of ${this.workerId}`, firstProducerSequence: BigInt(this.#next), events };
    for (;;) {
      const client = connectHttp1.client(this.#url());
      try {
        return await client.unary(PublisherService.method.publishEvents, request);
      } catch (error) {
        // A server that is gone has no words. One that is there and refuses what it should take is a fault.
        if (error instanceof RpcFailure && error.detail !== undefined && error.code !== "unavailable") throw error;
        this.unanswered++;
        await delay(5);
      }
    }
  }
}
