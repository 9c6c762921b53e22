// Publishing, for contenders whose publishers are clients, and for the append rate: every request carries one or many
// events, and its acknowledgement is counted.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define OUT_BYTES (4 * 1024 * 1024)
// Requests in one round, as with the publishers inside a server process.
#define ROUND_REQUESTS 64

struct dialect {
  const char *name;
  const char *greeting;
  // Encodes one request with `events` events.
  size_t (*encode)(struct run *run, uint8_t *out, uint64_t first, int events, uint64_t time_ns);
  // What starts an acknowledgement in the answer; none: not acknowledged. What starts a refusal.
  const char *ack, *error;
};

struct connection {
  int fd;
  bool connected;
  uint8_t *out;
  size_t out_start, out_end;
  uint64_t requests, acks;
  uint64_t *sent_at; // of what is under way, as a ring: acknowledgements of one connection come in order
  int ack_match, error_match;
};

struct publishing {
  const struct dialect *dialect;
  struct connection *connections;
  int count;
  uint64_t next, acks_before, errors;
  uint64_t started_at, sent_before;
  struct histogram *latency;
};

static size_t bulk(uint8_t *out, const char *head, uint64_t sequence, uint64_t time_ns) {
  size_t length = strlen(head);
  memcpy(out, head, length);
  payload_write(out + length, sequence, time_ns);
  memcpy(out + length + PAYLOAD_BYTES, "\r\n", 2);
  return length + PAYLOAD_BYTES + 2;
}

static size_t redis_xadd(struct run *run, uint8_t *out, uint64_t first, int events, uint64_t time_ns) {
  (void)events;
  char head[200];
  // Trimmed to about 200,000 entries, like every other contender's retention.
  snprintf(head, sizeof head,
           "*8\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$6\r\n200000\r\n$1\r\n*\r\n$1\r\ne\r\n$200\r\n",
           strlen(run->options.topic), run->options.topic);
  return bulk(out, head, first, time_ns);
}

static size_t redis_publish(struct run *run, uint8_t *out, uint64_t first, int events, uint64_t time_ns) {
  (void)events;
  char head[128];
  snprintf(head, sizeof head, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$200\r\n", strlen(run->options.topic), run->options.topic);
  return bulk(out, head, first, time_ns);
}

static size_t nats_core(struct run *run, uint8_t *out, uint64_t first, int events, uint64_t time_ns) {
  (void)events;
  char head[128];
  snprintf(head, sizeof head, "PUB %s 200\r\n", run->options.topic);
  return bulk(out, head, first, time_ns);
}

static size_t nats_jetstream(struct run *run, uint8_t *out, uint64_t first, int events, uint64_t time_ns) {
  (void)events;
  char head[128];
  snprintf(head, sizeof head, "PUB %s acks 200\r\n", run->options.topic);
  return bulk(out, head, first, time_ns);
}

// One atomic batch: the messages share an id, and the last one asks for the acknowledgement of all.
static size_t nats_atomic(struct run *run, uint8_t *out, uint64_t first, int events, uint64_t time_ns) {
  uint8_t *p = out;
  for (int i = 0; i < events; i++) {
    bool last = i == events - 1;
    char headers[160], head[256];
    int size = snprintf(headers, sizeof headers, "NATS/1.0\r\nNats-Batch-Id: %llx\r\nNats-Batch-Sequence: %d\r\n%s\r\n",
                        (unsigned long long)first, i + 1, last ? "Nats-Batch-Commit: 1\r\n" : "");
    snprintf(head, sizeof head, "HPUB %s %s%d %d\r\n%s", run->options.topic, last ? "acks " : "", size,
             size + PAYLOAD_BYTES, headers);
    p += bulk(p, head, first + (uint64_t)i, time_ns);
  }
  return (size_t)(p - out);
}

static size_t nchan_post(struct run *run, uint8_t *out, uint64_t first, int events, uint64_t time_ns) {
  (void)events;
  char head[256];
  snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: 200\r\n\r\n", run->options.publish_path);
  return bulk(out, head, first, time_ns) - 2;
}

static uint8_t *put_varint(uint8_t *out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *out++ = (uint8_t)(v | 0x80);
  *out++ = (uint8_t)v;
  return out;
}

// PublishEvents: NewEvent { worker_id = 6, output = 40 { stream = 1, data = 2 } }.
static size_t connect_publish(struct run *run, uint8_t *out, uint64_t first, int events, uint64_t time_ns) {
  static const char worker[] = "bench-0";
  const size_t id = sizeof worker - 1, chunk = 2 + 3 + PAYLOAD_BYTES, event = 2 + id + 4 + chunk, field = 3 + event;
  int head = sprintf((char *)out,
                     "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/proto\r\n"
                     "Connect-Protocol-Version: 1\r\nContent-Length: %zu\r\n\r\n",
                     run->options.publish_path, run->options.host, run->options.ports[0], field * (size_t)events);
  uint8_t *p = out + head;
  for (int i = 0; i < events; i++) {
    *p++ = 1 << 3 | 2;
    p = put_varint(p, event);
    *p++ = 6 << 3 | 2;
    p = put_varint(p, id);
    memcpy(p, worker, id);
    p = put_varint(p + id, 40 << 3 | 2);
    p = put_varint(p, chunk);
    *p++ = 1 << 3;
    *p++ = 1;
    *p++ = 2 << 3 | 2;
    p = put_varint(p, PAYLOAD_BYTES);
    payload_write(p, first + (uint64_t)i, time_ns);
    p += PAYLOAD_BYTES;
  }
  return (size_t)(p - out);
}

static const struct dialect dialects[] = {
    {"redis-stream", "", redis_xadd, "$", "-ERR"},
    {"redis-pubsub", "", redis_publish, ":", "-ERR"},
    {"nats-core", "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n", nats_core, NULL, "-ERR"},
    {"nats-jetstream", "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB acks 1\r\n", nats_jetstream, "MSG ", "\"error\""},
    {"nats-atomic", "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\nSUB acks 1\r\n", nats_atomic, "MSG ", "\"error\""},
    {"nchan", "", nchan_post, "HTTP/1.1 20", "HTTP/1.1 4"},
    {"connect", "", connect_publish, "HTTP/1.1 200", "HTTP/1.1 4"},
};

struct publishing *publishing_open(struct run *run) {
  struct publishing *p = calloc(1, sizeof *p);
  for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) {
    if (strcmp(dialects[i].name, run->options.publisher) == 0) p->dialect = &dialects[i];
  }
  if (!p->dialect) {
    fprintf(stderr, "load: no publisher of that name: %s\n", run->options.publisher);
    exit(2);
  }
  p->count = run->options.publish_connections;
  p->connections = calloc((size_t)p->count, sizeof *p->connections);
  p->latency = histogram_new();
  p->next = 1;
  for (int i = 0; i < p->count; i++) {
    struct connection *c = &p->connections[i];
    c->fd = connect_to(run->options.host, run->options.ports[0]);
    c->out = malloc(OUT_BYTES);
    c->sent_at = calloc((size_t)run->options.publish_inflight, sizeof *c->sent_at);
    c->out_end = strlen(p->dialect->greeting);
    memcpy(c->out, p->dialect->greeting, c->out_end);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = TAG_PUBLISHER + (uint64_t)i};
    epoll_ctl(run->epoll, EPOLL_CTL_ADD, c->fd, &event);
  }
  return p;
}

static void flush(struct connection *c) {
  while (c->connected && c->out_start < c->out_end) {
    ssize_t n = send(c->fd, c->out + c->out_start, c->out_end - c->out_start, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      perror("load: publisher");
      exit(1);
    }
    c->out_start += (size_t)n;
  }
  if (c->out_start == c->out_end) c->out_start = c->out_end = 0;
}

// Counts a pattern over the borders of reads. Its first character does not recur in it, so no backtracking is needed.
static uint64_t count_pattern(const char *pattern, int *match, const uint8_t *bytes, ssize_t length) {
  uint64_t found = 0;
  if (!pattern) return 0;
  for (ssize_t i = 0; i < length; i++) {
    if (*match == 0) { // the common case: jump to where the pattern can begin
      const uint8_t *start = memchr(bytes + i, pattern[0], (size_t)(length - i));
      if (!start) break;
      i = start - bytes;
    }
    *match = bytes[i] == (uint8_t)pattern[*match] ? *match + 1 : bytes[i] == (uint8_t)pattern[0];
    if (pattern[*match] == 0) {
      found++;
      *match = 0;
    }
  }
  return found;
}

void publishing_event(struct run *run, struct publishing *p, int index, uint32_t events) {
  struct connection *c = &p->connections[index];
  c->connected = true;
  if (events & EPOLLIN) {
    for (;;) {
      ssize_t n = recv(c->fd, run->scratch, READ_BYTES, 0);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (n <= 0) {
        fprintf(stderr, "load: a publisher's connection was closed\n");
        exit(1);
      }
      if (memmem(run->scratch, (size_t)n, "PING\r\n", 6)) (void)!send(c->fd, "PONG\r\n", 6, MSG_NOSIGNAL);
      uint64_t acks = count_pattern(p->dialect->ack, &c->ack_match, run->scratch, n);
      uint64_t errors = count_pattern(p->dialect->error, &c->error_match, run->scratch, n);
      if (errors > 0 && p->errors == 0) fprintf(stderr, "load: publisher refused: %.*s\n", (int)(n < 400 ? n : 400), run->scratch);
      p->errors += errors;
      uint64_t now = acks > 0 ? clock_ns() : 0, depth = (uint64_t)run->options.publish_inflight;
      for (uint64_t i = 0; i < acks; i++) histogram_add(p->latency, now - c->sent_at[(c->acks + i) % depth]);
      c->acks += acks + errors; // a refusal is an answer too
    }
  }
  flush(c);
}

// How many events may be sent now: by the clock, or as far as the slowest watcher allows.
static int64_t allowance(struct run *run, struct publishing *p) {
  if (run->options.publish_rate > 0) {
    return (int64_t)((double)(run->now - p->started_at) * 1e-9 * run->options.publish_rate) - (int64_t)(p->next - 1 - p->sent_before);
  }
  if (run->options.target > 0) return (int64_t)run->options.target - (int64_t)(p->next - 1);
  if (run->options.watchers == 0) return INT64_MAX / 2;
  return (int64_t)(run->slowest + run->options.window_events) - (int64_t)(p->next - 1);
}

void publishing_step(struct run *run, struct publishing *p) {
  if (p->started_at == 0) {
    p->started_at = run->now;
    p->sent_before = p->next - 1;
  }
  int64_t allowed = allowance(run, p);
  int batch = run->options.publish_batch;
  for (int i = 0; i < p->count; i++) {
    struct connection *c = &p->connections[i];
    if (!c->connected || c->out_end > 0) continue;
    for (int n = 0; n < ROUND_REQUESTS && allowed >= batch; n++) {
      if (p->dialect->ack && c->requests - c->acks >= (uint64_t)run->options.publish_inflight) break;
      uint64_t stamp = run->now;
      if (run->options.publish_rate > 0 && !run->options.stamp_actual) {
        stamp = p->started_at + (uint64_t)((double)(p->next - p->sent_before) * 1e9 / run->options.publish_rate);
      }
      if (run->options.stamp_actual || run->options.publish_inflight == 1) stamp = clock_ns();
      c->out_end += p->dialect->encode(run, c->out + c->out_end, p->next, batch, stamp);
      if (p->dialect->ack) c->sent_at[c->requests % (uint64_t)run->options.publish_inflight] = stamp;
      c->requests++;
      p->next += (uint64_t)batch;
      allowed -= batch;
      if (c->out_end > OUT_BYTES / 2) break;
    }
    flush(c);
  }
}

uint64_t publishing_acks(const struct publishing *p) {
  uint64_t acks = 0;
  for (int i = 0; i < p->count; i++) acks += p->connections[i].acks;
  return acks - p->acks_before;
}

void publishing_reset(struct publishing *p) {
  p->acks_before += publishing_acks(p);
  histogram_clear(p->latency);
}

uint64_t publishing_sent(const struct publishing *p) { return p->next - 1; }
uint64_t publishing_errors(const struct publishing *p) { return p->errors; }
struct histogram *publishing_latency(struct publishing *p) { return p->latency; }
