// Bodies: length-prefixed protobuf messages (Connect, gRPC) and server-sent events.
#include <stdio.h>
#include <string.h>

#include "load.h"

enum { ENVELOPE, RESPONSE, BATCH };
// Fields of tailrace.v1: WatchEventsResponse.events, and EventBatch.events.
enum { EVENTS_FRAME = 2, EVENTS = 1 };
enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

// WatchEventsRequest with where to begin and, for watches of one worker each, the worker.
size_t watch_request(struct run *run, struct watcher *w, uint8_t *out) {
  uint8_t *p = out + 5;
  if (run->options.worker_prefix) {
    char worker[128];
    int length = snprintf(worker, sizeof worker, "%s%u", run->options.worker_prefix, w->index);
    *p++ = 1 << 3 | LENGTH;
    *p++ = (uint8_t)length;
    memcpy(p, worker, (size_t)length);
    p += length;
  }
  *p++ = 4 << 3 | VARINT;
  *p++ = run->options.earliest ? 1 : 2;
  uint32_t length = (uint32_t)(p - out - 5);
  uint8_t head[5] = {0, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
  memcpy(out, head, 5);
  return (size_t)(p - out);
}

// Returns the bytes used, or 0 when more are needed.
static size_t read_varint(const uint8_t *p, size_t length, uint64_t *value) {
  uint64_t v = 0;
  for (size_t i = 0; i < length && i < 10; i++) {
    v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
    if (p[i] < 0x80) {
      *value = v;
      return i + 1;
    }
  }
  return 0;
}

// Walks envelope, response and batch without ever waiting for more than one event, because a frame may be 1 MiB.
size_t envelope_consume(struct run *run, struct watcher *w, const uint8_t *body, size_t length) {
  const uint8_t *p = body, *end = body + length;
  while (p < end) {
    size_t have = (size_t)(end - p);
    if (w->skip_left > 0) {
      size_t take = have < w->skip_left ? have : w->skip_left;
      p += take;
      w->skip_left -= take;
      continue;
    }
    if (w->level == BATCH && w->field_left == 0) w->level = RESPONSE;
    if (w->level == RESPONSE && w->envelope_left == 0) w->level = ENVELOPE;
    if (w->level == ENVELOPE) {
      if (have < 5) break;
      w->envelope_flags = p[0];
      uint64_t size = (uint64_t)p[1] << 24 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 8 | p[4];
      p += 5;
      if (w->envelope_flags != 0) { // Connect's end of stream, or a compressed message, which was not asked for
        char why[200];
        snprintf(why, sizeof why, "flags %d: %.*s", w->envelope_flags, (int)(end - p < 150 ? end - p : 150), (const char *)p);
        mark_ended(run, w, why);
        return length;
      }
      w->envelope_left = size;
      w->level = RESPONSE;
      continue;
    }
    uint64_t tag, size = 0;
    size_t used = read_varint(p, have, &tag);
    if (used == 0) break;
    size_t value_at = used;
    switch (tag & 7) {
      case LENGTH: {
        size_t n = read_varint(p + used, have - used, &size);
        if (n == 0) return (size_t)(p - body);
        value_at += n;
        break;
      }
      case VARINT: {
        uint64_t ignored;
        size_t n = read_varint(p + used, have - used, &ignored);
        if (n == 0) return (size_t)(p - body);
        value_at += n;
        break;
      }
      case FIXED64: size = 8; break;
      case FIXED32: size = 4; break;
      default: mark_ended(run, w, "not a protobuf message"); return length;
    }
    if (w->level == RESPONSE) {
      w->envelope_left -= value_at + size;
      p += value_at;
      if (tag == (EVENTS_FRAME << 3 | LENGTH)) {
        w->level = BATCH;
        w->field_left = size;
      } else {
        w->skip_left = size;
      }
    } else if (tag == (EVENTS << 3 | LENGTH)) {
      if (have < value_at + size) {
        if (value_at + size > CARRY_BYTES) mark_ended(run, w, "an event is larger than this client expects");
        break;
      }
      count_in(run, w, p + value_at, size);
      p += value_at + size;
      w->field_left -= value_at + size;
    } else {
      p += value_at;
      w->field_left -= value_at + size;
      w->skip_left = size;
    }
  }
  return (size_t)(p - body);
}

size_t sse_consume(struct run *run, struct watcher *w, const uint8_t *body, size_t length) {
  const uint8_t *p = body, *end = body + length;
  while (p < end) {
    const uint8_t *line_end = memchr(p, '\n', (size_t)(end - p));
    if (!line_end) break;
    size_t size = (size_t)(line_end - p);
    if (size > 5 && memcmp(p, "data:", 5) == 0) {
      if (!count_in(run, w, p, size) && memmem(p, size, "TERMINAL", 8)) {
        char why[300];
        snprintf(why, sizeof why, "%.*s", (int)(size < 250 ? size : 250), (const char *)p);
        mark_ended(run, w, why);
      }
    }
    p = line_end + 1;
  }
  return (size_t)(p - body);
}
