// The load client of the benchmark: opens many watchers on one thread, counts what each of them receives, and checks by
// the sequence in every payload that nothing is lost or repeated. It is written in C so that a contender is measured,
// never this program: its own share of a core is part of every result.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Every payload is 200 bytes of text that start with "ev:", the sequence and the publisher's clock (CLOCK_MONOTONIC, ns),
// each as 16 hex digits. 36 bytes are a multiple of three, so the same head can be read in base64.
#define MARKER_BYTES 36
#define PAYLOAD_BYTES 200

// Bytes taken from a socket in one read. Larger reads leave the level 2 cache and are slower.
#define READ_BYTES (256 * 1024)
// Servers that watchers are spread over.
#define MAX_PORTS 16
// The largest unit that a body parser may wait for: one event of a contender, with room.
#define CARRY_BYTES (64 * 1024)

struct histogram;
struct run;

struct watcher {
  int fd;
  uint32_t index;
  bool connected, admitted, ended, stalled, done;
  uint64_t events, missing, repeated;

  // Body bytes of a unit that is not complete yet.
  uint8_t *carry;
  uint32_t carry_length;

  // Transport: what is left of the current chunk or frame.
  uint8_t stage;
  bool chunked;
  uint64_t left;
  uint8_t head[9];
  uint8_t head_length, frame_type, frame_flags;
  uint64_t window_used;
  char *response;
  uint32_t response_length;

  // Body: what is left of the envelope, of the field in it, and of what is skipped.
  uint8_t level, envelope_flags;
  uint64_t envelope_left, field_left, skip_left;
  int64_t pending;
  bool marked;
  char position[64];
};

// A transport takes the bytes of a socket apart, in place: body bytes go to `out`, which is never after `in`.
typedef size_t (*deframe_fn)(struct run *run, struct watcher *w, const uint8_t *in, size_t length, uint8_t *out);
// A body parser counts whole units and says how many bytes it has used.
typedef size_t (*consume_fn)(struct run *run, struct watcher *w, const uint8_t *body, size_t length);

struct protocol {
  const char *name;
  size_t (*request)(struct run *run, struct watcher *w, uint8_t *out, size_t capacity);
  deframe_fn deframe;
  consume_fn consume;
};

struct options {
  const char *host, *protocol, *path, *mode, *publisher, *worker_prefix, *progress_file, *server_pids, *topic;
  // Of servers that serve the same: watchers take them in turn, and who publishes takes the first.
  int ports[MAX_PORTS], port_count;
  int watchers, stall, connect_burst;
  bool earliest;
  double warm_seconds, window_seconds, cap_seconds;
  uint64_t target, window_events;
  const char *steps;
  // Publishing from here, for contenders whose publishers are clients.
  int publish_connections, publish_batch, publish_inflight;
  double publish_rate; // per second; 0: closed loop
  bool stamp_actual;   // stamp the instant of sending instead of the scheduled one
  const char *publish_path;
};

struct run {
  struct options options;
  const struct protocol *protocol;
  int epoll;
  struct watcher *watchers;
  uint64_t *seen; // last sequence of every watcher, apart so that the slowest is found in a few cache lines
  int opened, admitted, ended, done;
  uint8_t *scratch;
  uint64_t now; // clock of this round, ns
  uint64_t events;
  uint64_t bytes; // taken from watchers' sockets
  bool counting;
  bool failed_notice;
  struct histogram *latency;
  volatile uint64_t *progress; // shared with the server's own publisher: the slowest watcher's sequence
  uint64_t slowest;
  int marker_offset;
  struct publishing *publishing;
};

// measure.c
uint64_t clock_ns(void);
struct histogram *histogram_new(void);
void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t ns);
uint64_t histogram_quantile(const struct histogram *h, double q);
uint64_t histogram_count(const struct histogram *h);
uint64_t process_cpu_ns(const char *pids);
uint64_t own_cpu_ns(void);
uint64_t machine_cpu_ns(void);
uint64_t process_rss_kb(const char *pids);

// payload.c
void payload_write(uint8_t *out, uint64_t sequence, uint64_t time_ns);
void count_event(struct run *run, struct watcher *w, const uint8_t *marker);
bool count_in(struct run *run, struct watcher *w, const uint8_t *bytes, size_t length);

// transports and bodies
size_t http1_deframe(struct run *, struct watcher *, const uint8_t *, size_t, uint8_t *);
size_t http2_deframe(struct run *, struct watcher *, const uint8_t *, size_t, uint8_t *);
size_t raw_deframe(struct run *, struct watcher *, const uint8_t *, size_t, uint8_t *);
size_t connect_request(struct run *, struct watcher *, uint8_t *, size_t);
size_t sse_request(struct run *, struct watcher *, uint8_t *, size_t);
size_t http2_request(struct run *, struct watcher *, uint8_t *, size_t);
size_t grpc_request(struct run *, struct watcher *, uint8_t *, size_t);
size_t envelope_consume(struct run *, struct watcher *, const uint8_t *, size_t);
size_t watch_request(struct run *, struct watcher *, uint8_t *out);
size_t sse_consume(struct run *, struct watcher *, const uint8_t *, size_t);
size_t redis_stream_request(struct run *, struct watcher *, uint8_t *, size_t);
size_t redis_pubsub_request(struct run *, struct watcher *, uint8_t *, size_t);
size_t resp_consume(struct run *, struct watcher *, const uint8_t *, size_t);
size_t nats_core_request(struct run *, struct watcher *, uint8_t *, size_t);
size_t nats_jetstream_request(struct run *, struct watcher *, uint8_t *, size_t);
size_t nats_pull_request(struct run *, struct watcher *, uint8_t *, size_t);
size_t nats_consume(struct run *, struct watcher *, const uint8_t *, size_t);

// watch.c
void open_watchers(struct run *run, int upto);
void service(struct run *run, int timeout_ms);
void mark_admitted(struct run *run, struct watcher *w);
void mark_ended(struct run *run, struct watcher *w, const char *why);
void send_all(struct watcher *w, const void *bytes, size_t length);
int connect_to(const char *host, int port);
void update_slowest(struct run *run);
int port_of(const struct run *run, const struct watcher *w);

// publish.c
struct publishing *publishing_open(struct run *run);
void publishing_step(struct run *run, struct publishing *p);
void publishing_event(struct run *run, struct publishing *p, int connection, uint32_t events);
void publishing_reset(struct publishing *p);
uint64_t publishing_acks(const struct publishing *p);
uint64_t publishing_sent(const struct publishing *p);
uint64_t publishing_errors(const struct publishing *p);
struct histogram *publishing_latency(struct publishing *p);

#define TAG_PUBLISHER (1ull << 32)
