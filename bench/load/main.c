// Arguments, the four ways to measure, and one JSON line with the result.
//   window  warm up, then count for a while (what the server's publisher or ours sends)
//   replay  every watcher reads `--target` events from the earliest on
//   idle    open watchers in steps, saying after each step how long it took, and wait for a line on stdin
//   append  publish without watchers, for a while or `--target` events
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "load.h"

static const struct protocol protocols[] = {
    {"connect-h1", connect_request, http1_deframe, envelope_consume},
    {"connect-h2c", http2_request, http2_deframe, envelope_consume},
    {"grpc", grpc_request, http2_deframe, envelope_consume},
    {"sse", sse_request, http1_deframe, sse_consume},
    {"redis-stream", redis_stream_request, raw_deframe, resp_consume},
    {"redis-pubsub", redis_pubsub_request, raw_deframe, resp_consume},
    {"nats-core", nats_core_request, raw_deframe, nats_consume},
    {"nats-pull", nats_pull_request, raw_deframe, nats_consume},
    {"nats-jetstream", nats_jetstream_request, raw_deframe, nats_consume},
};

struct snapshot {
  uint64_t at, server, own, machine, rss;
};

static struct snapshot take_snapshot(struct run *run) {
  return (struct snapshot){clock_ns(), process_cpu_ns(run->options.server_pids), own_cpu_ns(), machine_cpu_ns(),
                           process_rss_kb(run->options.server_pids)};
}

static void print_window(struct run *run, struct snapshot a, struct snapshot b, uint64_t peak) {
  uint64_t missing = 0, repeated = 0;
  for (int i = 0; i < run->opened; i++) {
    missing += run->watchers[i].missing;
    repeated += run->watchers[i].repeated;
  }
  double seconds = (double)(b.at - a.at) * 1e-9;
  double server = (double)(b.server - a.server) * 1e-9, own = (double)(b.own - a.own) * 1e-9;
  double others = (double)(b.machine - a.machine) * 1e-9 - server - own;
  printf("{\"seconds\":%.6f,\"events\":%llu,\"bytes\":%llu,\"server_cpu\":%.6f,\"client_cpu\":%.6f,\"other_cpu\":%.3f,"
         "\"missing\":%llu,\"repeated\":%llu,\"ended\":%d,\"done\":%d,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,"
         "\"rss_start_kb\":%llu,\"rss_end_kb\":%llu,\"rss_peak_kb\":%llu",
         seconds, (unsigned long long)run->events, (unsigned long long)run->bytes, server, own, others > 0 ? others : 0, (unsigned long long)missing,
         (unsigned long long)repeated, run->ended, run->done, (double)histogram_quantile(run->latency, 0.5) / 1e3,
         (double)histogram_quantile(run->latency, 0.99) / 1e3, (double)histogram_quantile(run->latency, 1) / 1e3,
         (unsigned long long)a.rss, (unsigned long long)b.rss, (unsigned long long)peak);
  if (run->publishing) {
    struct histogram *acks = publishing_latency(run->publishing);
    printf(",\"acks\":%llu,\"errors\":%llu,\"ack_p50_us\":%.1f,\"ack_p99_us\":%.1f",
           (unsigned long long)publishing_acks(run->publishing), (unsigned long long)publishing_errors(run->publishing),
           (double)histogram_quantile(acks, 0.5) / 1e3, (double)histogram_quantile(acks, 0.99) / 1e3);
  }
  printf("}\n");
  fflush(stdout);
}

// Opens watchers up to a number; gives up after the cap. Returns the milliseconds until the last one was admitted.
static double admit(struct run *run, int upto) {
  uint64_t start = clock_ns(), cap = start + (uint64_t)(run->options.cap_seconds * 1e9);
  while (run->admitted + run->ended < upto && clock_ns() < cap) {
    open_watchers(run, upto);
    service(run, 10);
  }
  double ms = (double)(clock_ns() - start) * 1e-6;
  printf("{\"admitted\":%d,\"of\":%d,\"ms\":%.1f}\n", run->admitted, upto, ms);
  fflush(stdout);
  return ms;
}

// Serves until a time, looking at the server's memory on the way. Returns its peak.
static uint64_t serve_until(struct run *run, uint64_t until, bool stop_when_done, int pause_ms) {
  uint64_t peak = 0, look = 0;
  do {
    service(run, pause_ms);
    if (run->now >= look) {
      uint64_t rss = process_rss_kb(run->options.server_pids);
      if (rss > peak) peak = rss;
      look = run->now + 20000000;
    }
    if (stop_when_done && run->done + run->ended >= run->options.watchers) break;
  } while (run->now < until);
  return peak;
}

static void measure_window(struct run *run) {
  admit(run, run->options.watchers);
  if (run->options.publisher) run->publishing = publishing_open(run);
  // A publisher by the clock needs a tick; all of them, in C or in a server, use one of a millisecond.
  int pause = run->options.publish_rate > 0 ? 1 : run->publishing ? 5 : 20;
  uint64_t give_up = clock_ns() + (uint64_t)(run->options.cap_seconds * 1e9);
  bool append = run->options.watchers == 0;
  for (bool started = false; !started && clock_ns() < give_up;) {
    service(run, pause);
    for (int i = run->options.stall; i < run->opened && !started; i++) started = run->watchers[i].events > 0;
    if (append) started = publishing_acks(run->publishing) > 0;
  }
  serve_until(run, clock_ns() + (uint64_t)(run->options.warm_seconds * 1e9), false, pause);
  run->events = 0;
  histogram_clear(run->latency);
  if (run->publishing) publishing_reset(run->publishing);
  run->counting = true;
  struct snapshot start = take_snapshot(run);
  uint64_t peak = serve_until(run, start.at + (uint64_t)(run->options.window_seconds * 1e9), false, pause);
  print_window(run, start, take_snapshot(run), peak);
}

// Publishes a set number of events and waits for all acknowledgements.
static void fill(struct run *run) {
  run->publishing = publishing_open(run);
  struct snapshot start = take_snapshot(run);
  uint64_t cap = start.at + (uint64_t)(run->options.cap_seconds * 1e9);
  do service(run, 5);
  while (publishing_acks(run->publishing) < run->options.target / (uint64_t)run->options.publish_batch && run->now < cap);
  print_window(run, start, take_snapshot(run), 0);
}

static void measure_replay(struct run *run) {
  run->counting = true;
  struct snapshot start = take_snapshot(run);
  uint64_t cap = start.at + (uint64_t)(run->options.cap_seconds * 1e9);
  uint64_t peak = start.rss;
  // The clock runs from before the first connect: admission is a part of a resume.
  while (run->opened < run->options.watchers && clock_ns() < cap) {
    open_watchers(run, run->options.watchers);
    service(run, 1);
  }
  uint64_t seen = serve_until(run, cap, true, 20);
  print_window(run, start, take_snapshot(run), seen > peak ? seen : peak);
}

static void measure_idle(struct run *run) {
  char steps[128], line[64];
  snprintf(steps, sizeof steps, "%s", run->options.steps);
  fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
  for (char *save = NULL, *step = strtok_r(steps, ",", &save); step; step = strtok_r(NULL, ",", &save)) {
    admit(run, atoi(step));
    uint64_t cap = clock_ns() + (uint64_t)(run->options.cap_seconds * 1e9);
    while (clock_ns() < cap && read(0, line, sizeof line) <= 0) service(run, 50);
  }
  struct snapshot end = take_snapshot(run);
  print_window(run, end, end, end.rss);
}

static void share_progress(struct run *run, const char *file) {
  int fd = open(file, O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, 4096) < 0) {
    perror("load: progress file");
    exit(1);
  }
  run->progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  *run->progress = 0;
  close(fd);
}

static void parse_ports(struct options *o, const char *text) {
  char copy[256];
  snprintf(copy, sizeof copy, "%s", text);
  for (char *save = NULL, *port = strtok_r(copy, ",", &save); port && o->port_count < MAX_PORTS; port = strtok_r(NULL, ",", &save)) {
    o->ports[o->port_count++] = atoi(port);
  }
}

static void parse(struct options *o, int argc, char **argv) {
  *o = (struct options){.host = "127.0.0.1", .path = "/", .mode = "window", .topic = "bench", .publish_path = "/", .connect_burst = 256,
                        .warm_seconds = 0.5, .window_seconds = 2, .cap_seconds = 10, .window_events = 1024,
                        .publish_connections = 1, .publish_batch = 1, .publish_inflight = 1000, .steps = ""};
  struct option names[] = {
      {"host", 1, 0, 'h'}, {"port", 1, 0, 'p'}, {"protocol", 1, 0, 'P'}, {"path", 1, 0, 'u'}, {"mode", 1, 0, 'm'},
      {"watchers", 1, 0, 'n'}, {"stall", 1, 0, 's'}, {"burst", 1, 0, 'b'}, {"earliest", 0, 0, 'e'}, {"warm", 1, 0, 'w'},
      {"window", 1, 0, 'W'}, {"cap", 1, 0, 'c'}, {"target", 1, 0, 't'}, {"ahead", 1, 0, 'a'}, {"steps", 1, 0, 'S'},
      {"worker-prefix", 1, 0, 'k'}, {"progress", 1, 0, 'g'}, {"server-pids", 1, 0, 'i'}, {"topic", 1, 0, 'T'},
      {"publisher", 1, 0, 'B'}, {"publish-connections", 1, 0, 'C'}, {"publish-batch", 1, 0, 'E'},
      {"publish-inflight", 1, 0, 'F'}, {"publish-rate", 1, 0, 'R'}, {"publish-path", 1, 0, 'U'}, {"stamp-actual", 0, 0, 'A'}, {0}};
  int c;
  while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
    switch (c) {
      case 'h': o->host = optarg; break;
      case 'p': parse_ports(o, optarg); break;
      case 'P': o->protocol = optarg; break;
      case 'u': o->path = optarg; break;
      case 'm': o->mode = optarg; break;
      case 'n': o->watchers = atoi(optarg); break;
      case 's': o->stall = atoi(optarg); break;
      case 'b': o->connect_burst = atoi(optarg); break;
      case 'e': o->earliest = true; break;
      case 'w': o->warm_seconds = atof(optarg); break;
      case 'W': o->window_seconds = atof(optarg); break;
      case 'c': o->cap_seconds = atof(optarg); break;
      case 't': o->target = strtoull(optarg, NULL, 10); break;
      case 'a': o->window_events = strtoull(optarg, NULL, 10); break;
      case 'S': o->steps = optarg; break;
      case 'k': o->worker_prefix = optarg; break;
      case 'g': o->progress_file = optarg; break;
      case 'i': o->server_pids = optarg; break;
      case 'T': o->topic = optarg; break;
      case 'B': o->publisher = optarg; break;
      case 'C': o->publish_connections = atoi(optarg); break;
      case 'E': o->publish_batch = atoi(optarg); break;
      case 'F': o->publish_inflight = atoi(optarg); break;
      case 'R': o->publish_rate = atof(optarg); break;
      case 'U': o->publish_path = optarg; break;
      case 'A': o->stamp_actual = true; break;
      default: exit(2);
    }
  }
}

int main(int argc, char **argv) {
  struct run run = {0};
  parse(&run.options, argc, argv);
  signal(SIGPIPE, SIG_IGN);
  if (run.options.port_count == 0) {
    fprintf(stderr, "load: --port is missing\n");
    return 2;
  }
  for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
    if (run.options.protocol && strcmp(protocols[i].name, run.options.protocol) == 0) run.protocol = &protocols[i];
  }
  bool append = strcmp(run.options.mode, "append") == 0;
  if (!run.protocol && !append) {
    fprintf(stderr, "load: --protocol is missing or unknown\n");
    return 2;
  }
  int capacity = run.options.watchers;
  const char *last_step = strrchr(run.options.steps, ',');
  if (*run.options.steps) capacity = atoi(last_step ? last_step + 1 : run.options.steps);
  run.watchers = calloc((size_t)capacity + 1, sizeof *run.watchers);
  run.seen = calloc((size_t)capacity + 1, sizeof *run.seen);
  run.scratch = malloc(CARRY_BYTES + READ_BYTES + 64);
  run.latency = histogram_new();
  run.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (run.options.progress_file) share_progress(&run, run.options.progress_file);
  if (append) run.options.watchers = 0;
  if (capacity == 0 && !run.options.publisher) {
    fprintf(stderr, "load: there is nothing to do: neither --watchers nor --publisher\n");
    return 2;
  }
  if (strcmp(run.options.mode, "replay") == 0) measure_replay(&run);
  else if (strcmp(run.options.mode, "idle") == 0) measure_idle(&run);
  else if (append && run.options.target > 0) fill(&run);
  else measure_window(&run);
  return 0;
}
