// The brokers' own protocols: RESP for Redis, and the text protocol of NATS with JetStream's push consumers.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

// Entries asked for in one XREAD. Four digits: the length prefix below says so.
#define XREAD_COUNT 1000

static size_t xread(struct run *run, struct watcher *w, char *out, size_t capacity) {
  return (size_t)snprintf(out, capacity,
                          "*8\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$4\r\n%d\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n"
                          "$7\r\nSTREAMS\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                          XREAD_COUNT, strlen(run->options.topic), run->options.topic, strlen(w->position), w->position);
}

// PING first: a blocked XREAD answers nothing, and the answer to PING says that the connection is served.
size_t redis_stream_request(struct run *run, struct watcher *w, uint8_t *out, size_t capacity) {
  // "0-0" and not "$" also for live watches: they connect before anything is published, and "$" would lose what is
  // written between two reads.
  snprintf(w->position, sizeof w->position, "0-0");
  memcpy(out, "*1\r\n$4\r\nPING\r\n", 14);
  w->pending = 1;
  return 14 + xread(run, w, (char *)out + 14, capacity - 14);
}

size_t redis_pubsub_request(struct run *run, struct watcher *w, uint8_t *out, size_t capacity) {
  w->pending = 1;
  return (size_t)snprintf((char *)out, capacity, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n",
                          strlen(run->options.topic), run->options.topic);
}

// Elements still to come in the current answer are counted down over nested arrays; at zero the answer is complete.
static void answer_complete(struct run *run, struct watcher *w) {
  w->pending = 1;
  if (!w->admitted) {
    mark_admitted(run, w);
    return;
  }
  if (strcmp(run->protocol->name, "redis-stream") == 0) {
    char again[256];
    send_all(w, again, xread(run, w, again, sizeof again));
  }
}

size_t resp_consume(struct run *run, struct watcher *w, const uint8_t *body, size_t length) {
  const uint8_t *p = body, *end = body + length;
  while (p < end) {
    const uint8_t *line_end = memchr(p, '\n', (size_t)(end - p));
    if (!line_end) break;
    const uint8_t *next = line_end + 1;
    switch (*p) {
      case '*':
        w->pending += atol((const char *)p + 1) - 1;
        break;
      case '$': {
        long size = atol((const char *)p + 1);
        if (size >= 0) {
          if (end - next < size + 2) return (size_t)(p - body);
          if (size == PAYLOAD_BYTES) {
            count_in(run, w, next, (size_t)size);
          } else if (size > 5 && size < (long)sizeof w->position && memchr(next, '-', (size_t)size)) {
            memcpy(w->position, next, (size_t)size); // an entry's id: where the next read begins
            w->position[size] = 0;
          }
          next += size + 2;
        }
        w->pending--;
        break;
      }
      case '-':
        mark_ended(run, w, (const char *)p);
        return length;
      default:
        w->pending--;
    }
    p = next;
    if (w->pending == 0) answer_complete(run, w);
  }
  return (size_t)(p - body);
}

static const char nats_connect[] = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n";

size_t nats_core_request(struct run *run, struct watcher *w, uint8_t *out, size_t capacity) {
  (void)w;
  return (size_t)snprintf((char *)out, capacity, "%sSUB %s 1\r\nPING\r\n", nats_connect, run->options.topic);
}

// Messages that a pull consumer has asked for, at most, and how many of them are left when it asks again: what the client of
// NATS for Node does by default.
#define PULL_AHEAD 100
#define PULL_AGAIN 25

static size_t pull(struct run *run, struct watcher *w, char *out, size_t capacity) {
  char question[64];
  int length = snprintf(question, sizeof question, "{\"batch\":%lld,\"expires\":300000000000}", PULL_AHEAD - (long long)w->pending);
  (void)run;
  w->pending = PULL_AHEAD;
  return (size_t)snprintf(out, capacity, "PUB $JS.API.CONSUMER.MSG.NEXT.bench.c%u in.%u %d\r\n%s\r\n", w->index, w->index, length,
                          question);
}

// What the ordered consumer of NATS's own clients asks for today: pull, no acknowledgements, kept in memory.
size_t nats_pull_request(struct run *run, struct watcher *w, uint8_t *out, size_t capacity) {
  char consumer[512];
  int length = snprintf(consumer, sizeof consumer,
                        "{\"stream_name\":\"bench\",\"config\":{\"name\":\"c%u\",\"deliver_policy\":\"%s\",\"ack_policy\":\"none\","
                        "\"max_deliver\":1,\"inactive_threshold\":300000000000,\"replay_policy\":\"instant\",\"mem_storage\":true,"
                        "\"num_replicas\":1}}",
                        w->index, run->options.earliest ? "all" : "new");
  return (size_t)snprintf((char *)out, capacity,
                          "%sSUB in.%u 1\r\nSUB api.%u 2\r\nPUB $JS.API.CONSUMER.CREATE.bench.c%u api.%u %d\r\n%s\r\n",
                          nats_connect, w->index, w->index, w->index, w->index, length, consumer);
}

// What the ordered consumer of NATS's clients asked for before that: push, no acknowledgements, flow control, kept in memory.
size_t nats_jetstream_request(struct run *run, struct watcher *w, uint8_t *out, size_t capacity) {
  char consumer[512];
  int length = snprintf(consumer, sizeof consumer,
                        "{\"stream_name\":\"bench\",\"config\":{\"deliver_policy\":\"%s\",\"deliver_subject\":\"in.%u\","
                        "\"ack_policy\":\"none\",\"max_deliver\":1,\"flow_control\":true,\"idle_heartbeat\":5000000000,"
                        "\"replay_policy\":\"instant\",\"mem_storage\":true,\"num_replicas\":1}}",
                        run->options.earliest ? "all" : "new", w->index);
  return (size_t)snprintf((char *)out, capacity,
                          "%sSUB in.%u 1\r\nSUB api.%u 2\r\nPUB $JS.API.CONSUMER.CREATE.bench api.%u %d\r\n%s\r\n",
                          nats_connect, w->index, w->index, w->index, length, consumer);
}

// MSG subject sid [reply] size, or HMSG subject sid [reply] header-size size. Fields are found in one pass: this runs for
// every delivered message.
static long message_size(const char *line, size_t length, bool with_head, char *reply, size_t capacity, int *sid) {
  const char *fields[8], *end = line + length;
  int count = 0;
  for (const char *p = line; p < end && count < 7;) {
    fields[count++] = p;
    p = memchr(p, ' ', (size_t)(end - p));
    if (!p) break;
    p++;
  }
  int plain = with_head ? 5 : 4;
  if (count < plain) return -1;
  *sid = atoi(fields[2]);
  reply[0] = 0;
  if (count > plain) snprintf(reply, capacity, "%.*s", (int)(fields[4] - fields[3] - 1), fields[3]);
  return atol(fields[count - 1]);
}

static bool is_pull(const struct run *run) { return strcmp(run->protocol->name, "nats-pull") == 0; }

static void jetstream_message(struct run *run, struct watcher *w, const uint8_t *bytes, size_t size, int sid, bool with_head,
                              const char *reply) {
  if (sid == 2) {
    if (memmem(bytes, size, "\"error\"", 7)) {
      char why[300];
      snprintf(why, sizeof why, "%.*s", (int)(size < 250 ? size : 250), (const char *)bytes);
      mark_ended(run, w, why);
    } else {
      char question[256];
      mark_admitted(run, w);
      if (is_pull(run)) send_all(w, question, pull(run, w, question, sizeof question));
    }
  } else if (with_head && is_pull(run)) {
    mark_ended(run, w, (const char *)bytes); // a status: nothing more comes for what was asked
  } else if (with_head) {
    // Flow control: the server waits for an empty answer before it sends more.
    char answer[512];
    if (reply[0]) send_all(w, answer, (size_t)snprintf(answer, sizeof answer, "PUB %s 0\r\n\r\n", reply));
  } else {
    count_in(run, w, bytes, size);
    if (is_pull(run) && --w->pending <= PULL_AGAIN) {
      char question[256];
      send_all(w, question, pull(run, w, question, sizeof question));
    }
  }
}

size_t nats_consume(struct run *run, struct watcher *w, const uint8_t *body, size_t length) {
  const uint8_t *p = body, *end = body + length;
  while (p < end) {
    const uint8_t *line_end = memchr(p, '\n', (size_t)(end - p));
    if (!line_end) break;
    const uint8_t *next = line_end + 1;
    size_t line = (size_t)(line_end - p);
    bool with_head = *p == 'H';
    if (*p == 'M' || with_head) {
      char reply[256];
      int sid = 0;
      long size = message_size((const char *)p, line, with_head, reply, sizeof reply, &sid);
      if (size < 0) {
        mark_ended(run, w, "a message line that is not NATS's");
        return length;
      }
      if (end - next < size + 2) break;
      jetstream_message(run, w, next, (size_t)size, sid, with_head, reply);
      next += size + 2;
    } else if (memcmp(p, "PING", 4) == 0) {
      send_all(w, "PONG\r\n", 6);
    } else if (memcmp(p, "PONG", 4) == 0) {
      mark_admitted(run, w);
    } else if (*p == '-') {
      mark_ended(run, w, (const char *)p);
      return length;
    }
    p = next;
  }
  return (size_t)(p - body);
}
