import { Code, ConnectError, createContextKey } from "@connectrpc/connect";
import type { WatchEventsRequest } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

/** A watch that Connect has negotiated, parsed and let through its interceptors. */
export interface AcceptedWatch {
  readonly request: WatchEventsRequest;
  /** Milliseconds until the caller's deadline; undefined: none. */
  readonly timeoutMs: number | undefined;
}

/** What one call tells its handler past Connect's pipeline. */
export class Call {
  /** Set when the implementation of WatchEvents was reached. */
  watch: AcceptedWatch | undefined;
  /** Set when the body was larger than allowed. */
  overflow: TailraceError | undefined;
  /** The body so far, until an implementation was reached. Then it decoded, and nobody asks for it any more. */
  #chunks: Uint8Array[] | undefined = [];
  #complete = false;

  /** An implementation has the decoded request. */
  reached(): void {
    this.#chunks = undefined;
  }

  /** What was read of the body, if no implementation was reached. */
  get unseenBody(): { readonly bytes: Uint8Array; readonly complete: boolean } | undefined {
    return this.#chunks === undefined ? undefined : { bytes: Buffer.concat(this.#chunks), complete: this.#complete };
  }

  /** Refuses a body by its length before it is read. */
  announce(length: number): void {
    if (length > limits.maxRequestBytes) this.overflow = tooLarge();
  }

  /** Passes a body on, as far as its size is allowed. */
  async *read(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    let bytes = 0;
    for await (const chunk of body) {
      bytes += chunk.length;
      if (bytes > limits.maxRequestBytes) {
        this.overflow = tooLarge();
        // Whoever reads must stop; the typed error is sent instead of this one.
        throw new ConnectError(this.overflow.message, Code.ResourceExhausted);
      }
      this.#chunks?.push(chunk);
      yield chunk;
    }
    this.#complete = true;
  }
}

/** Where implementations find the call. */
export const callKey = createContextKey<Call | undefined>(undefined, { description: "call" });

function tooLarge(): TailraceError<"limit_exceeded"> {
  return new TailraceError(
    "limit_exceeded",
    { limit: "max_request_bytes", maximum: limits.maxRequestBytes },
    `A request has at most ${limits.maxRequestBytes} bytes. Send it in parts.`,
  );
}
