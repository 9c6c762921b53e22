import { create } from "@bufbuild/protobuf";
import {
  type ListEventsRequest,
  type ListEventsResponse,
  ListEventsResponseSchema,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { decodeEvents } from "../events/stored.ts";
import type { EventLog } from "../log/contract.ts";
import { skipLost } from "../stream/loss.ts";
import { notFound } from "../stream/not-found.ts";
import { requirePosition, resolveStart } from "../stream/start.ts";
import { listSpec, type RequestContext } from "./requests.ts";

/** A page of events under the cursors of a watch. @throws TailraceError as a watch that is refused. */
export async function listEvents(
  log: EventLog,
  context: RequestContext,
  request: ListEventsRequest,
): Promise<ListEventsResponse> {
  const { cursors } = context;
  const spec = listSpec(request, context);
  // Before the start, which mostly lies before it: then nothing is waited for twice.
  if (spec.until !== undefined) await requirePosition(log, cursors, spec.scope, spec.until);
  const start = await resolveStart(log, cursors, spec);
  let { position, gap } = start;
  const until = (spec.until?.position ?? log.bounds(spec.scope).head).sequence;
  const answer = create(ListEventsResponseSchema, { runtimeId: cursors.runtimeId });
  while (answer.events.length === 0 && position.sequence < until) {
    const page = await log.read({
      scope: spec.scope,
      kinds: spec.kinds,
      after: position.sequence,
      until,
      maxEvents: spec.pageSize,
      maxBytes: limits.maxPageBytes,
    });
    // It may have been forgotten meanwhile: an empty page would say that it had nothing.
    const missing = notFound(log, spec.scope);
    if (missing !== undefined) throw missing;
    if (page.kind === "expired") {
      const skip = skipLost(log, cursors, spec, position);
      if (skip instanceof TailraceError) throw skip;
      ({ position, gap } = skip);
      continue;
    }
    if (page.block !== undefined) answer.events = decodeEvents(page.block, cursors);
    position = page.through;
  }
  answer.cursor = cursors.encode(position);
  answer.complete = position.sequence >= until;
  if (gap !== undefined) answer.gap = gap;
  return answer;
}
