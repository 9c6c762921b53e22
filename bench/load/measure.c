// Clocks, a latency histogram, and what the kernel says about processes.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

// Log-linear: 32 steps for every power of two, so that a quantile is at most 3 % off over the whole range.
#define STEPS 32
#define BUCKETS (60 * STEPS)

struct histogram {
  uint64_t count;
  uint64_t buckets[BUCKETS];
};

uint64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

struct histogram *histogram_new(void) { return calloc(1, sizeof(struct histogram)); }

void histogram_clear(struct histogram *h) { memset(h, 0, sizeof *h); }

void histogram_add(struct histogram *h, uint64_t ns) {
  int bucket;
  if (ns < STEPS) {
    bucket = (int)ns;
  } else {
    int power = 63 - __builtin_clzll(ns);
    bucket = (power - 4) * STEPS + (int)((ns >> (power - 5)) & (STEPS - 1));
  }
  if (bucket >= BUCKETS) bucket = BUCKETS - 1;
  h->buckets[bucket]++;
  h->count++;
}

uint64_t histogram_quantile(const struct histogram *h, double q) {
  if (h->count == 0) return 0;
  uint64_t wanted = (uint64_t)(q * (double)(h->count - 1)) + 1, seen = 0;
  for (int i = 0; i < BUCKETS; i++) {
    seen += h->buckets[i];
    if (seen >= wanted) {
      if (i < STEPS) return (uint64_t)i;
      int power = i / STEPS + 4;
      return (1ull << power) + ((uint64_t)(i % STEPS) << (power - 5));
    }
  }
  return 0;
}

uint64_t histogram_count(const struct histogram *h) { return h->count; }

static uint64_t one_process_cpu_ns(const char *pid) {
  char path[300];
  snprintf(path, sizeof path, "/proc/%s/task", pid);
  DIR *tasks = opendir(path);
  if (!tasks) return 0;
  uint64_t total = 0;
  struct dirent *entry;
  while ((entry = readdir(tasks))) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%s/task/%.20s/schedstat", pid, entry->d_name);
    FILE *f = fopen(path, "r");
    if (!f) continue; // the thread ended meanwhile
    unsigned long long on_cpu = 0;
    if (fscanf(f, "%llu", &on_cpu) == 1) total += on_cpu;
    fclose(f);
  }
  closedir(tasks);
  return total;
}

static uint64_t one_process_rss_kb(const char *pid) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%s/status", pid);
  FILE *f = fopen(path, "r");
  if (!f) return 0;
  unsigned long long kb = 0;
  while (fgets(line, sizeof line, f)) {
    if (sscanf(line, "VmRSS: %llu", &kb) == 1) break;
  }
  fclose(f);
  return kb;
}

static uint64_t over_pids(const char *pids, uint64_t (*read_one)(const char *)) {
  char copy[256];
  snprintf(copy, sizeof copy, "%s", pids ? pids : "");
  uint64_t total = 0;
  for (char *save = NULL, *pid = strtok_r(copy, ",", &save); pid; pid = strtok_r(NULL, ",", &save)) {
    total += read_one(pid);
  }
  return total;
}

uint64_t process_cpu_ns(const char *pids) { return over_pids(pids, one_process_cpu_ns); }

uint64_t process_rss_kb(const char *pids) { return over_pids(pids, one_process_rss_kb); }

uint64_t own_cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

// Everything that any process of the machine used: what is left after the server and this client is other people's noise.
uint64_t machine_cpu_ns(void) {
  FILE *f = fopen("/proc/stat", "r");
  if (!f) return 0;
  unsigned long long user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0;
  int fields = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &soft);
  fclose(f);
  if (fields != 7) return 0;
  return (user + nice + system + irq + soft) * (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK));
}
