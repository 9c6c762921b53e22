// HTTP/1.1: the requests of Connect and SSE watchers, and chunked response bodies.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { HEAD, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, PLAIN };

#define HEAD_LIMIT 8192

size_t connect_request(struct run *run, struct watcher *w, uint8_t *out, size_t capacity) {
  uint8_t message[512];
  size_t length = watch_request(run, w, message);
  int head = snprintf((char *)out, capacity,
                      "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/connect+proto\r\n"
                      "Connect-Protocol-Version: 1\r\nContent-Length: %zu\r\n\r\n",
                      run->options.path, run->options.host, port_of(run, w), length);
  memcpy(out + head, message, length);
  return (size_t)head + length;
}

// "%d" in the path stands for the watcher's number, for watches of one worker each.
size_t sse_request(struct run *run, struct watcher *w, uint8_t *out, size_t capacity) {
  char path[512];
  const char *mark = strstr(run->options.path, "%d");
  if (mark) {
    snprintf(path, sizeof path, "%.*s%u%s", (int)(mark - run->options.path), run->options.path, w->index, mark + 2);
  } else {
    snprintf(path, sizeof path, "%s", run->options.path);
  }
  return (size_t)snprintf((char *)out, capacity,
                          "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/event-stream\r\n\r\n", path,
                          run->options.host, port_of(run, w));
}

static size_t read_head(struct run *run, struct watcher *w, const uint8_t *in, size_t length) {
  if (!w->response) w->response = malloc(HEAD_LIMIT);
  size_t take = length < HEAD_LIMIT - 1 - w->response_length ? length : HEAD_LIMIT - 1 - w->response_length;
  uint32_t before = w->response_length;
  memcpy(w->response + before, in, take);
  w->response_length += (uint32_t)take;
  w->response[w->response_length] = 0;
  char *end = strstr(w->response, "\r\n\r\n");
  if (!end) {
    if (w->response_length >= HEAD_LIMIT - 1) mark_ended(run, w, "response head is too long");
    return length;
  }
  if (strncmp(w->response, "HTTP/1.1 200", 12) != 0) {
    mark_ended(run, w, w->response);
    return length;
  }
  size_t used = (size_t)(end + 4 - w->response) - before;
  end[2] = 0;
  w->chunked = strcasestr(w->response, "\r\ntransfer-encoding: chunked") != NULL;
  w->stage = w->chunked ? CHUNK_SIZE : PLAIN;
  free(w->response);
  w->response = NULL;
  mark_admitted(run, w);
  return used;
}

size_t http1_deframe(struct run *run, struct watcher *w, const uint8_t *in, size_t length, uint8_t *out) {
  const uint8_t *end = in + length;
  size_t produced = 0;
  while (in < end && !w->ended) {
    switch (w->stage) {
      case HEAD:
        in += read_head(run, w, in, (size_t)(end - in));
        break;
      case CHUNK_SIZE: {
        uint8_t c = *in++;
        if (c >= '0' && c <= '9') w->left = w->left << 4 | (uint64_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f') w->left = w->left << 4 | (uint64_t)((c | 32) - 'a' + 10);
        else if (c == '\n') {
          if (w->left == 0) mark_ended(run, w, "response ended");
          else w->stage = CHUNK_DATA;
        }
        break;
      }
      case CHUNK_DATA: {
        size_t take = (size_t)(end - in) < w->left ? (size_t)(end - in) : w->left;
        memmove(out + produced, in, take);
        produced += take;
        in += take;
        w->left -= take;
        if (w->left == 0) w->stage = CHUNK_END;
        break;
      }
      case CHUNK_END:
        if (*in++ == '\n') w->stage = CHUNK_SIZE;
        break;
      default: // a body that ends with the connection
        memmove(out + produced, in, (size_t)(end - in));
        produced += (size_t)(end - in);
        in = end;
    }
  }
  return produced;
}

size_t raw_deframe(struct run *run, struct watcher *w, const uint8_t *in, size_t length, uint8_t *out) {
  (void)run;
  (void)w;
  if (in != out) memmove(out, in, length);
  return length;
}
