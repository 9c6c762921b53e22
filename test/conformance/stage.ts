import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { SubmitJobRequestSchema } from "../../gen/tailrace/v1/job_service_pb.ts";
import type { JobContext, OperationOptions } from "../../src/runtime/jobs/operation.ts";
import type { PublishReceipt } from "../../src/runtime/publishing.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";

/** A handler of an operation that was called. */
interface Part {
  readonly job: JobContext;
  readonly succeed: () => void;
  readonly fail: (error: Error) => void;
}

/** An operation whose jobs do what a test tells them to. */
export class Stage {
  readonly #runtime: Runtime;
  readonly #operation: string;
  readonly #roles = new Map<string, PromiseWithResolvers<Part>>();

  constructor(runtime: Runtime, options: OperationOptions & { readonly name?: string } = {}) {
    const { name = "play", ...operation } = options;
    this.#runtime = runtime;
    this.#operation = name;
    runtime.operation(name, operation, (_, job) => this.#play(job));
  }

  /** Submits a job. */
  async submit(request: MessageInitShape<typeof SubmitJobRequestSchema> = {}): Promise<Role> {
    const message = create(SubmitJobRequestSchema, request);
    message.operation = this.#operation;
    const { jobId, cursor } = await this.#runtime.submitJob(message);
    return new Role(jobId, cursor, this.#role(jobId).promise);
  }

  #play(job: JobContext): Promise<void> {
    return new Promise((resolve, reject) => {
      job.signal.addEventListener("abort", () => reject(job.signal.reason));
      this.#role(job.id).resolve({ job, succeed: resolve, fail: reject });
    });
  }

  #role(jobId: string): PromiseWithResolvers<Part> {
    let role = this.#roles.get(jobId);
    if (role === undefined) {
      role = Promise.withResolvers();
      this.#roles.set(jobId, role);
    }
    return role;
  }
}

/** A job of a stage. */
export class Role {
  readonly id: string;
  /** Position before its first event. */
  readonly cursor: string;
  /** Settles once its handler was called. */
  readonly part: Promise<Part>;

  constructor(id: string, cursor: string, part: Promise<Part>) {
    this.id = id;
    this.cursor = cursor;
    this.part = part;
  }

  /** Publishes events one by one, each under its correlation id. */
  async say(ids: readonly string[]): Promise<PublishReceipt> {
    const { job } = await this.part;
    let receipt: PublishReceipt | undefined;
    for (const id of ids) {
      const value = { type: "test", data: new TextEncoder().encode(id) };
      receipt = await job.publish({ case: "custom", value }, { correlationId: id });
    }
    return receipt as PublishReceipt;
  }

  async succeed(): Promise<void> {
    (await this.part).succeed();
  }

  async fail(error: Error): Promise<void> {
    (await this.part).fail(error);
  }
}
