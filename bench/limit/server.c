// The limit: a server that does nothing but write the bytes of a Connect watch over HTTP/1.1. Every batch of events is
// built once and given to every watcher with one write(). What is above this is the kernel's and the client's.
//
// Commands on stdin, as for every server of the benchmark:
//   publish closed BATCH AHEAD | publish open RATE | publish single INTERVAL_MS | stop
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES (64u << 20)
#define MAX_WATCHERS 20000
#define EVENT_LIMIT 512
#define BATCH_LIMIT 256

struct watcher {
  int fd;
  uint64_t position; // bytes of the ring that were written to it
  int blocked, live;
};

static struct watcher watchers[MAX_WATCHERS];
static int count;
static uint8_t *ring;
static uint64_t head; // bytes appended, ever
static volatile uint64_t *progress;
static uint64_t next_sequence = 1;

static uint64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void hex(uint8_t *out, uint64_t v) {
  for (int i = 15; i >= 0; i--, v >>= 4) out[i] = (uint8_t)"0123456789abcdef"[v & 15];
}

static uint8_t *put_bytes(uint8_t *p, const void *bytes, size_t n) {
  memcpy(p, bytes, n);
  return p + n;
}

static uint8_t *put_varint(uint8_t *p, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *p++ = (uint8_t)(v | 0x80);
  *p++ = (uint8_t)v;
  return p;
}

// One entry of EventBatch.events with all the fields that the runtime fills in.
static uint8_t *put_event(uint8_t *p, uint64_t sequence, uint64_t time_ns) {
  static const char cursor[] = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8w";
  uint8_t event[EVENT_LIMIT], *e = event;
  *e++ = 1 << 3 | 2;
  *e++ = 62;
  e = put_bytes(e, cursor, 62);
  *e++ = 2 << 3 | 1;
  e = put_bytes(e, &sequence, 8);
  *e++ = 3 << 3 | 1;
  e = put_bytes(e, &sequence, 8);
  e = put_bytes(e, "\x22\x0c\x08\x80\xa3\x05\x10\x80\x94\xeb\xdc\x03\x18\x00", 14); // time
  e = put_bytes(e, "\x32\x07" "bench-0", 9);
  e = put_varint(e, 40 << 3 | 2);
  e = put_varint(e, 2 + 3 + 200);
  e = put_bytes(e, "\x08\x01\x12", 3);
  e = put_varint(e, 200);
  memcpy(e, "ev:", 3);
  hex(e + 3, sequence);
  hex(e + 19, time_ns);
  e[35] = ':';
  memset(e + 36, 'x', 164);
  e += 200;
  *p++ = 1 << 3 | 2;
  p = put_varint(p, (uint64_t)(e - event));
  return put_bytes(p, event, (size_t)(e - event));
}

static void append_bytes(const uint8_t *bytes, size_t n) {
  size_t at = head % RING_BYTES, first = n < RING_BYTES - at ? n : RING_BYTES - at;
  memcpy(ring + at, bytes, first);
  memcpy(ring, bytes + first, n - first);
  head += n;
}

// One chunk with one message with one batch.
static void append_batch(int events, uint64_t time_ns) {
  static uint8_t batch[BATCH_LIMIT * EVENT_LIMIT], message[64];
  uint8_t *p = batch;
  for (int i = 0; i < events; i++) p = put_event(p, next_sequence++, time_ns);
  size_t size = (size_t)(p - batch);
  uint8_t *m = message + 5;
  *m++ = 2 << 3 | 2;
  m = put_varint(m, size);
  uint32_t length = (uint32_t)(size + (size_t)(m - message - 5));
  uint8_t prefix[5] = {0, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
  memcpy(message, prefix, 5);
  char chunk[16];
  append_bytes((uint8_t *)chunk, (size_t)sprintf(chunk, "%x\r\n", length + 5));
  append_bytes(message, (size_t)(m - message));
  append_bytes(batch, size);
  append_bytes((const uint8_t *)"\r\n", 2);
}

static void flush(struct watcher *w) {
  while (w->live && w->position < head) {
    if (head - w->position > RING_BYTES) {
      close(w->fd); // it fell out of the ring
      w->live = 0;
      return;
    }
    size_t at = w->position % RING_BYTES, n = head - w->position;
    if (n > RING_BYTES - at) n = RING_BYTES - at;
    ssize_t sent = send(w->fd, ring + at, n, MSG_NOSIGNAL);
    if (sent < 0) {
      w->blocked = errno == EAGAIN;
      if (!w->blocked) w->live = 0;
      return;
    }
    w->position += (uint64_t)sent;
  }
  w->blocked = 0;
}

static void admit(struct watcher *w) {
  char request[4096];
  ssize_t n = recv(w->fd, request, sizeof request, 0);
  if (n <= 0) {
    if (n == 0 || errno != EAGAIN) {
      close(w->fd);
      w->live = 0;
    }
    return;
  }
  static const char response[] = "HTTP/1.1 200 OK\r\nContent-Type: application/connect+proto\r\nTransfer-Encoding: chunked\r\n\r\n";
  (void)!send(w->fd, response, sizeof response - 1, MSG_NOSIGNAL);
  w->position = head;
  w->live = 1;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  int file = open(argv[1], O_RDWR);
  progress = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
  ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) return 1;
  getsockname(listener, (struct sockaddr *)&address, &size);
  int epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN, .data.u32 = MAX_WATCHERS};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
  e.data.u32 = MAX_WATCHERS + 1;
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &e);
  e.data.u32 = MAX_WATCHERS + 2;
  epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e);
  printf("{\"ready\":true,\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);

  int batch = 0, waiting = 0;
  double rate = 0;
  uint64_t ahead = 0, started = 0, before = 0;
  for (;;) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, batch == 0 ? -1 : waiting);
    for (int i = 0; i < n; i++) {
      uint32_t id = events[i].data.u32;
      if (id == MAX_WATCHERS) {
        int fd;
        while (count < MAX_WATCHERS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          watchers[count] = (struct watcher){.fd = fd};
          e.events = EPOLLIN | EPOLLOUT | EPOLLET;
          e.data.u32 = (uint32_t)count++;
          epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
        }
      } else if (id == MAX_WATCHERS + 1) {
        char line[256];
        ssize_t got = read(0, line, sizeof line - 1);
        if (got <= 0) return 0;
        line[got] = 0;
        double interval = 0;
        unsigned long long distance = 0;
        batch = 0;
        rate = 0;
        if (sscanf(line, "publish closed %d %llu", &batch, &distance) == 2) ahead = distance;
        else if (sscanf(line, "publish single %lf", &interval) == 1) rate = 1000 / interval;
        else sscanf(line, "publish open %lf", &rate);
        if (batch > BATCH_LIMIT) batch = BATCH_LIMIT;
        started = clock_ns();
        before = next_sequence - 1;
        struct timespec tick = {0, rate > 0 ? (rate > 1000 ? 1000000 : (long)(1e9 / rate)) : 0};
        timerfd_settime(timer, 0, &(struct itimerspec){tick, tick}, NULL);
      } else if (id == MAX_WATCHERS + 2) {
        uint64_t ticks;
        (void)!read(timer, &ticks, sizeof ticks);
        uint64_t due = (uint64_t)((double)(clock_ns() - started) * 1e-9 * rate);
        while (rate > 0 && next_sequence - 1 - before < due) append_batch(1, clock_ns());
      } else {
        struct watcher *w = &watchers[id];
        if (events[i].events & EPOLLIN) admit(w);
        if (w->live) flush(w);
      }
    }
    waiting = next_sequence - 1 - *progress >= ahead;
    if (batch > 0 && !waiting) append_batch(batch, clock_ns());
    for (int i = 0; i < count; i++) {
      if (watchers[i].live && !watchers[i].blocked && watchers[i].position < head) flush(&watchers[i]);
    }
  }
}
