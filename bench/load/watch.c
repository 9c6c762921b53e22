// Watchers: connecting, reading, and the slowest position among them.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define ROUND_EVENTS 256

int connect_to(const char *host, int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    perror("load: socket (raise `ulimit -n`)");
    exit(1);
  }
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &address.sin_addr);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
    perror("load: connect");
    exit(1);
  }
  return fd;
}

// Requests and acknowledgements are small and the socket is empty, so a short write means that something is broken.
void send_all(struct watcher *w, const void *bytes, size_t length) {
  if (w->ended) return;
  if (send(w->fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) fprintf(stderr, "load: watcher %u: short send\n", w->index);
}

void mark_admitted(struct run *run, struct watcher *w) {
  if (w->admitted) return;
  w->admitted = true;
  run->admitted++;
  if ((int)w->index < run->options.stall) {
    // A stalled reader: connected, admitted, and from here on it reads nothing.
    w->stalled = true;
    epoll_ctl(run->epoll, EPOLL_CTL_DEL, w->fd, NULL);
  }
}

void mark_ended(struct run *run, struct watcher *w, const char *why) {
  if (w->ended) return;
  w->ended = true;
  run->ended++;
  if (!run->failed_notice) {
    run->failed_notice = true; // one is enough to see what is wrong
    fprintf(stderr, "load: watcher %u ended after %llu events: %.300s\n", w->index, (unsigned long long)w->events, why);
  }
  epoll_ctl(run->epoll, EPOLL_CTL_DEL, w->fd, NULL);
  close(w->fd);
}

int port_of(const struct run *run, const struct watcher *w) {
  return run->options.ports[w->index % (uint32_t)run->options.port_count];
}

void open_watchers(struct run *run, int upto) {
  while (run->opened < upto && run->opened - run->admitted - run->ended < run->options.connect_burst) {
    struct watcher *w = &run->watchers[run->opened];
    w->index = (uint32_t)run->opened++;
    w->fd = connect_to(run->options.host, port_of(run, w));
    struct epoll_event event = {.events = EPOLLOUT, .data.u64 = w->index};
    epoll_ctl(run->epoll, EPOLL_CTL_ADD, w->fd, &event);
  }
}

static void established(struct run *run, struct watcher *w) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) {
    mark_ended(run, w, strerror(error));
    return;
  }
  w->connected = true;
  uint8_t request[4096];
  send_all(w, request, run->protocol->request(run, w, request, sizeof request));
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = w->index};
  epoll_ctl(run->epoll, EPOLL_CTL_MOD, w->fd, &event);
}

static void keep(struct run *run, struct watcher *w, const uint8_t *rest, size_t length) {
  if (length > CARRY_BYTES) {
    mark_ended(run, w, "a unit is larger than this client expects");
    return;
  }
  if (length > 0) {
    if (!w->carry) w->carry = malloc(CARRY_BYTES);
    memcpy(w->carry, rest, length);
  }
  w->carry_length = (uint32_t)length;
}

static void readable(struct run *run, struct watcher *w) {
  uint8_t *body = run->scratch, *in = body + w->carry_length;
  ssize_t got = recv(w->fd, in, READ_BYTES, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    mark_ended(run, w, got == 0 ? "connection closed" : strerror(errno));
    return;
  }
  if (run->counting) run->bytes += (uint64_t)got;
  if (w->carry_length > 0) memcpy(body, w->carry, w->carry_length);
  size_t length = w->carry_length + run->protocol->deframe(run, w, in, (size_t)got, in);
  size_t used = run->protocol->consume(run, w, body, length);
  if (w->ended) return;
  keep(run, w, body + used, length - used);
  if (!w->done && run->options.target > 0 && w->events >= run->options.target) {
    w->done = true;
    run->done++;
  }
}

void update_slowest(struct run *run) {
  if (run->opened <= run->options.stall) return;
  uint64_t slowest = UINT64_MAX;
  for (int i = run->options.stall; i < run->opened; i++) {
    if (run->seen[i] < slowest) slowest = run->seen[i];
  }
  if (slowest == run->slowest) return;
  run->slowest = slowest;
  if (run->progress) *run->progress = slowest;
}

void service(struct run *run, int timeout_ms) {
  struct epoll_event events[ROUND_EVENTS];
  int count = epoll_wait(run->epoll, events, ROUND_EVENTS, timeout_ms);
  run->now = clock_ns();
  for (int i = 0; i < count; i++) {
    if (events[i].data.u64 >= TAG_PUBLISHER) {
      publishing_event(run, run->publishing, (int)(events[i].data.u64 - TAG_PUBLISHER), events[i].events);
      continue;
    }
    struct watcher *w = &run->watchers[events[i].data.u64];
    if (w->ended) continue;
    if (!w->connected) established(run, w);
    else readable(run, w);
    // The clock of a round would flatter the watchers that are read last.
    if ((i & 7) == 7) run->now = clock_ns();
  }
  update_slowest(run);
  if (run->publishing) publishing_step(run, run->publishing);
}
