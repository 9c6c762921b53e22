/**
 * What the two systems that Tailrace grew out of publish, kind by kind and field by field, and where each has its home in
 * the schema. `home` is a payload field of `Event`; `fields` says where each of the origin's fields went, as a path inside
 * that payload, or in the event (`event.`), or why it has none (`none:`). `answer` marks what is a reply to one caller and
 * must not be broadcast.
 */
export interface Origin {
  readonly kind: string;
  readonly home: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** Replies to one caller: answers of RPCs, never events. */
export const answers: Readonly<Record<string, string>> = {
  completions: "an answer to the one who asked; no event",
  workers_listed: "WorkerService.ListWorkers",
  subscribed: "StreamOpened, the first frame of a watch",
  subscription_rejected: "StreamDiagnostic, terminal",
};

/** Fields of the origins' envelopes. */
export const envelope: Readonly<Record<string, string>> = {
  cursor: "Event.cursor",
  event_id: "Event.cursor",
  epoch: "none: the cursor carries the generation",
  sequence: "Event.sequence",
  runtime_id: "EventBatch.runtime_id",
  worker_id: "Event.worker_id",
  job_id: "Event.job_id",
  subject_revision: "Event.worker_sequence",
  snapshot_revision: "TranscriptSnapshot.snapshot_revision",
  subscription_id: "none: a watch is a call of its own",
  connection_generation: "none: a watch is a call of its own",
  correlation_id: "Event.correlation_id",
  emitted_at_ms: "Event.producer_time",
  emitted_by: "Narration.emitted_by",
  level: "Narration.level",
};

function origin(kind: string, home: string, fields: Readonly<Record<string, string>> = {}): Origin {
  return { kind, home, fields };
}

const ofWorker = { id: "event.worker_id", message: "message" };
const block = { block: "block_id" };

const runtime: readonly Origin[] = [
  origin("runtime_started", "runtime_started", { message: "message" }),
  origin("runtime_stopped", "runtime_stopped", { message: "message" }),
  origin("worker_created", "worker_created", { id: "event.worker_id" }),
  origin("worker_input_accepted", "worker_input_accepted", { ...ofWorker, input: "input_id" }),
  origin("worker_stopped", "worker_stopped", ofWorker),
  origin("worker_cancelled", "worker_cancelled", ofWorker),
];

const catalog: readonly Origin[] = [
  origin("worker_upserted", "worker_updated", {
    worker_id: "event.worker_id",
    subject_revision: "subject_revision",
    state: "state",
    workspace_id: "info.workspace_id",
    display_name: "info.display_name",
    profile: "info.profile",
    working_directory_id: "info.working_directory_id",
    resource_key: "info.resource_key",
  }),
  origin("worker_removed", "worker_removed", ofWorker),
  origin("workdir_upserted", "working_directory_updated", {
    working_directory_id: "working_directory_id",
    repository_id: "repository_id",
    state: "state",
    primary_worker_id: "primary_worker_id",
  }),
  origin("workdir_removed", "working_directory_removed", { working_directory_id: "working_directory_id" }),
];

const worker: readonly Origin[] = [
  origin("user_message", "user_message", {
    text: "segments.text",
    paste: "segments.paste",
    file_ref: "segments.file_ref",
    flow: "segments.flow",
    unknown: "segments.unknown_json",
  }),
  origin("system_item", "system_item", { json: "json" }),
  origin("invoke_start", "invocation_started", { trigger: "trigger" }),
  origin("turn_start", "turn_started", { turn: "turn" }),
  origin("turn_end", "turn_ended", { turn: "turn", result: "result" }),
  origin("llm_call_start", "model_call_started", { llm_call: "model_call", model: "model" }),
  origin("llm_call_end", "model_call_ended", { llm_call: "model_call" }),
  origin("llm_retry", "model_call_retried", {
    llm_call: "model_call",
    failed_attempt: "failed_attempt",
    max_attempts: "max_attempts",
    wait_ms: "wait",
    elapsed_ms: "elapsed",
    status: "status",
    error: "error",
  }),
  origin("llm_continuation", "model_call_continued", {
    attempt: "attempt",
    max_attempts: "max_attempts",
    reason: "reason",
  }),
  origin("text_delta", "text_delta", { ...block, text: "text", offset: "offset" }),
  origin("text_done", "text_done", { ...block, text: "text" }),
  origin("thinking_start", "thinking_started", block),
  origin("thinking_delta", "thinking_delta", { ...block, text: "text", offset: "offset" }),
  origin("thinking_done", "thinking_done", { ...block, text: "text" }),
  origin("tool_call_start", "tool_call_started", { id: "tool_call_id", name: "name" }),
  origin("tool_call_args_delta", "tool_call_arguments_delta", { id: "tool_call_id", json: "json", offset: "offset" }),
  origin("tool_call_done", "tool_call_done", { id: "tool_call_id", name: "name", arguments: "arguments_json" }),
  origin("tool_result", "tool_result", {
    id: "tool_call_id",
    summary: "summary",
    output: "output",
    is_error: "is_error",
  }),
  origin("usage", "usage", { input: "input_tokens", output: "output_tokens", cache_read: "cache_read_tokens" }),
  origin("run_end", "run_ended", { result: "result" }),
  origin("error", "worker_fault", { code: "code", message: "message" }),
  origin("status", "worker_status", { status: "state", message: "message" }),
  origin("snapshot", "transcript_snapshot", {
    entries: "entries_json",
    greeting: "greeting",
    status: "status",
    in_flight: "in_flight",
    internal_workers: "internal_workers",
    "blocks.text": "in_flight.blocks.text.text",
    "blocks.text.finished": "in_flight.blocks.text.finished",
    "blocks.thinking": "in_flight.blocks.thinking.text",
    "blocks.tool_call.id": "in_flight.blocks.tool_call.tool_call_id",
    "blocks.tool_call.name": "in_flight.blocks.tool_call.name",
    "blocks.tool_call.args": "in_flight.blocks.tool_call.arguments_json",
    "blocks.tool_call.state": "in_flight.blocks.tool_call.state",
    "commands.command_id": "in_flight.commands.command_id",
    "commands.tool_call_id": "in_flight.commands.tool_call_id",
    "commands.status": "in_flight.commands.status",
    "commands.started_ms": "in_flight.commands.running",
    "commands.observed_ms": "in_flight.commands.since_observed",
    "commands.last_output_ms": "in_flight.commands.since_output",
    "commands.stdout.start_offset": "in_flight.commands.stdout.start_offset",
    "commands.stdout.end_offset": "in_flight.commands.stdout.end_offset",
    "commands.stdout.content": "in_flight.commands.stdout.content",
    "commands.stdout.truncated": "in_flight.commands.stdout.truncated",
    "commands.stderr": "in_flight.commands.stderr.content",
    "commands.exit_code": "in_flight.commands.exit_code",
  }),
  origin("greeting", "greeting", {
    worker_name: "worker_name",
    cwd: "working_directory",
    provider: "provider",
    model: "model",
    scope_summary: "scope_summary",
    tools: "tools",
    context_window: "context_window",
    context_tokens: "context_tokens",
  }),
  origin("segment_rotated", "transcript_segment_rotated", { segment: "segment" }),
  origin("internal_worker", "internal_worker_event", {
    ref: "internal_worker",
    revision: "subject_revision",
    event: "event",
  }),
  origin("internal_worker_removed", "internal_worker_removed", { ref: "internal_worker" }),
  origin("command_started", "command_started", { command_id: "command_id", tool_call_id: "tool_call_id" }),
  origin("command_output", "command_output", {
    command_id: "command_id",
    stream: "stream",
    start_offset: "start_offset",
    end_offset: "end_offset",
    content: "content",
  }),
  origin("command_terminal", "command_ended", {
    command_id: "command_id",
    status: "status",
    exit_code: "exit_code",
    stdout_offset: "stdout_offset",
    stderr_offset: "stderr_offset",
  }),
  origin("alert", "alert", { level: "level", source: "source", message: "message", timestamp_ms: "raise_time" }),
  origin("memory_worker", "memory_worker_report", { json: "json" }),
  origin("compact_start", "compaction_started", { tokens: "context_tokens" }),
  origin("compact_done", "compaction_done", { tokens: "context_tokens", summary: "summary" }),
  origin("compact_failed", "compaction_failed", { message: "message" }),
  origin("rewind_targets", "rewind_targets", { targets: "target_ids" }),
  origin("rewind_applied", "rewind_applied", { target: "target_id" }),
  // These two were replies, and state that others want to know of: so they are events too.
  origin("worker_restored", "worker_restored", { id: "event.worker_id" }),
  origin("peer_registered", "peer_registered", { peer: "peer_id" }),
  origin("shutdown", "worker_ended", { message: "message" }),
];

const narration: readonly Origin[] = [
  origin("narration", "narration", {
    formatted: "message",
    actor: "actor",
    action: "action",
    target: "target",
    human: "human",
    cute: "cute",
    story: "story",
    correlation_id: "event.correlation_id",
    job_id: "event.job_id",
    emitted_by: "emitted_by",
    emitted_at_ms: "emit_time",
    error_kind: "error_kind",
    retry_after_ms: "retry_after",
    queue_position: "queue_position",
    duration_ms: "duration",
    tokens_in: "input_tokens",
    tokens_out: "output_tokens",
    trace_id: "trace_id",
    span_id: "span_id",
    level: "level",
  }),
  origin("data", "narration_data", { action: "action", payload: "payload_json" }),
  origin("done", "job_state_changed", { state: "state", error: "message" }),
];

const inference: readonly Origin[] = [
  origin("started", "inference_started", { job_id: "inference_id", model: "model", started_at: "start_time" }),
  origin("token", "inference_token", { t: "text", i: "index" }),
  origin("metrics", "inference_metrics", {
    tokens_per_sec: "tokens_per_second",
    vram_bytes: "accelerator_memory_bytes",
  }),
  origin("end", "inference_ended", {
    tokens_out: "output_tokens",
    decode_time_ms: "decode_time",
    stop_reason: "stop_reason",
    stop_sequence_matched: "matched_stop_sequence",
  }),
  origin("inference error", "inference_failed", { code: "code", message: "message" }),
  origin("image progress", "image_progress", { step: "step", total: "total", percent: "percent" }),
  origin("image preview", "image_preview", { base64_png: "data", content_type: "content_type" }),
  origin("image complete", "image_completed", { data: "data" }),
  origin("worker stdout and stderr", "output", { stream: "stream", bytes: "data", offset: "offset" }),
  origin("progress", "progress", { done: "done", total: "total", unit: "unit" }),
  origin("anything else", "custom", { type: "type", content_type: "content_type", data: "data" }),
];

/** Every kind of both systems. */
export const origins: readonly Origin[] = [...runtime, ...catalog, ...worker, ...narration, ...inference];

/** Closed sets of names in the origins, with the enum that has them all. */
export const vocabularies: Readonly<Record<string, { readonly enum: string; readonly names: readonly string[] }>> = {
  "worker state": { enum: "WorkerState", names: ["idle", "running", "paused", "stopped", "cancelled"] },
  invoke_start: {
    enum: "InvocationTrigger",
    names: ["user_send", "notify", "worker_event", "system_reminder", "wakeup"],
  },
  run_end: { enum: "RunResult", names: ["finished", "paused", "limit_reached", "rolled_back"] },
  error: {
    enum: "WorkerFaultCode",
    names: [
      "already_running",
      "not_running",
      "not_paused",
      "provider_error",
      "tool_error",
      "invalid_request",
      "internal",
    ],
  },
  "command status": { enum: "CommandStatus", names: ["running", "completed", "failed", "timed_out", "cancelled"] },
  "tool call state": { enum: "ToolCallState", names: ["pending", "streaming_arguments", "done"] },
  "alert level": { enum: "AlertLevel", names: ["warn", "error"] },
  "job state": { enum: "JobState", names: ["queued", "running", "succeeded", "failed", "cancelled", "timed_out"] },
  "inference error": {
    enum: "InferenceFailureCode",
    names: ["out_of_memory", "cancelled", "timeout", "invalid_request", "inference_failed", "generation_error"],
  },
  "output stream": { enum: "OutputStream", names: ["stdout", "stderr"] },
};
