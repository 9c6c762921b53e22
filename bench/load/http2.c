// HTTP/2 without TLS, as far as one watch on one connection needs it: the preface, one request with literal headers, flow
// control, and DATA frames. Names and values are sent without Huffman coding or indexing (RFC 7541, 6.2.2).
#include <stdio.h>
#include <string.h>

#include "load.h"

// Credit for a stream and its connection: what a client of a fast network asks for, so that a stall is TCP's and not ours.
#define WINDOW_BYTES (16u * 1024 * 1024)

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

static uint8_t *frame_head(uint8_t *out, size_t length, uint8_t type, uint8_t flags, uint32_t stream) {
  uint8_t head[9] = {(uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, type, flags,
                     (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
  memcpy(out, head, 9);
  return out + 9;
}

static uint8_t *put_u32(uint8_t *out, uint32_t v) {
  uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
  memcpy(out, bytes, 4);
  return out + 4;
}

static uint8_t *literal(uint8_t *out, const char *name, const char *value) {
  *out++ = 0;
  *out++ = (uint8_t)strlen(name); // below 127, so one byte
  memcpy(out, name, strlen(name));
  out += strlen(name);
  *out++ = (uint8_t)strlen(value);
  memcpy(out, value, strlen(value));
  return out + strlen(value);
}

static size_t request(struct run *run, struct watcher *w, uint8_t *out, bool grpc) {
  uint8_t *start = out;
  memcpy(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
  out = frame_head(out + 24, 6, SETTINGS, 0, 0);
  *out++ = 0;
  *out++ = 4; // SETTINGS_INITIAL_WINDOW_SIZE
  out = put_u32(out, WINDOW_BYTES);
  out = put_u32(frame_head(out, 4, WINDOW_UPDATE, 0, 0), WINDOW_BYTES - 65535);

  uint8_t block[512], *p = block;
  char authority[64];
  snprintf(authority, sizeof authority, "%s:%d", run->options.host, port_of(run, w));
  *p++ = 0x83; // :method POST
  *p++ = 0x86; // :scheme http
  p = literal(p, ":path", run->options.path);
  p = literal(p, ":authority", authority);
  p = literal(p, "content-type", grpc ? "application/grpc+proto" : "application/connect+proto");
  if (grpc) p = literal(p, "te", "trailers");
  else p = literal(p, "connect-protocol-version", "1");
  size_t length = (size_t)(p - block);
  out = frame_head(out, length, HEADERS, END_HEADERS, 1);
  memcpy(out, block, length);
  out += length;

  uint8_t message[512];
  size_t body = watch_request(run, w, message);
  out = frame_head(out, body, DATA, END_STREAM, 1);
  memcpy(out, message, body);
  return (size_t)(out + body - start);
}

size_t http2_request(struct run *run, struct watcher *w, uint8_t *out, size_t capacity) {
  (void)capacity;
  return request(run, w, out, false);
}

size_t grpc_request(struct run *run, struct watcher *w, uint8_t *out, size_t capacity) {
  (void)capacity;
  return request(run, w, out, true);
}

static void frame_started(struct run *run, struct watcher *w) {
  if (w->frame_type == HEADERS) {
    if (w->frame_flags & END_STREAM) mark_ended(run, w, "trailers");
    else mark_admitted(run, w);
  } else if (w->frame_type == SETTINGS && !(w->frame_flags & ACK)) {
    uint8_t answer[9];
    frame_head(answer, 0, SETTINGS, ACK, 0);
    send_all(w, answer, sizeof answer);
  } else if (w->frame_type == RST_STREAM || w->frame_type == GOAWAY) {
    mark_ended(run, w, w->frame_type == GOAWAY ? "GOAWAY" : "RST_STREAM");
  } else if (w->frame_type == DATA && (w->frame_flags & PADDED)) {
    mark_ended(run, w, "padded DATA is not supported here");
  }
}

static void give_credit(struct watcher *w) {
  uint8_t update[26];
  uint8_t *p = put_u32(frame_head(update, 4, WINDOW_UPDATE, 0, 0), (uint32_t)w->window_used);
  p = put_u32(frame_head(p, 4, WINDOW_UPDATE, 0, 1), (uint32_t)w->window_used);
  send_all(w, update, (size_t)(p - update));
  w->window_used = 0;
}

size_t http2_deframe(struct run *run, struct watcher *w, const uint8_t *in, size_t length, uint8_t *out) {
  const uint8_t *end = in + length;
  size_t produced = 0;
  while (in < end && !w->ended) {
    if (w->stage == 0) { // frame head
      w->head[w->head_length++] = *in++;
      if (w->head_length < 9) continue;
      w->head_length = 0;
      w->left = (uint64_t)w->head[0] << 16 | (uint64_t)w->head[1] << 8 | w->head[2];
      w->frame_type = w->head[3];
      w->frame_flags = w->head[4];
      frame_started(run, w);
      if (w->left > 0) w->stage = 1;
      continue;
    }
    size_t take = (size_t)(end - in) < w->left ? (size_t)(end - in) : w->left;
    if (w->frame_type == DATA) {
      memmove(out + produced, in, take);
      produced += take;
      w->window_used += take;
    } else if (w->frame_type == PING && !(w->frame_flags & ACK)) {
      for (size_t i = 0; i < take; i++) w->head[w->head_length++ & 7] = in[i];
    }
    in += take;
    w->left -= take;
    if (w->left > 0) continue;
    w->stage = 0;
    if (w->frame_type == PING && !(w->frame_flags & ACK)) {
      uint8_t answer[17];
      memcpy(frame_head(answer, 8, PING, ACK, 0), w->head, 8);
      send_all(w, answer, sizeof answer);
      w->head_length = 0;
    }
  }
  if (w->window_used > WINDOW_BYTES / 4) give_credit(w);
  return produced;
}
