// The payload that every contender carries, and the check that each watcher gets every one of them, once and in order.
#include <stdio.h>
#include <string.h>

#include "load.h"

static void write_hex(uint8_t *out, uint64_t value) {
  for (int i = 15; i >= 0; i--) {
    out[i] = (uint8_t)"0123456789abcdef"[value & 15];
    value >>= 4;
  }
}

void payload_write(uint8_t *out, uint64_t sequence, uint64_t time_ns) {
  memcpy(out, "ev:", 3);
  write_hex(out + 3, sequence);
  write_hex(out + 19, time_ns);
  out[35] = ':';
  memset(out + MARKER_BYTES, 'x', PAYLOAD_BYTES - MARKER_BYTES);
}

// Eight digits at once: this runs for every delivered event.
static uint64_t read_hex8(const uint8_t *p) {
  uint64_t x;
  memcpy(&x, p, 8);
  x = (x & 0x0f0f0f0f0f0f0f0full) + ((x >> 6) & 0x0101010101010101ull) * 9;
  x = __builtin_bswap64(x);
  x = (x | (x >> 4)) & 0x00ff00ff00ff00ffull;
  x = (x | (x >> 8)) & 0x0000ffff0000ffffull;
  return (x | (x >> 16)) & 0xffffffffull;
}

static uint64_t read_hex16(const uint8_t *p) { return read_hex8(p) << 32 | read_hex8(p + 8); }

void count_event(struct run *run, struct watcher *w, const uint8_t *marker) {
  uint64_t sequence = read_hex16(marker + 3), last = run->seen[w->index];
  if (sequence == last + 1 || last == 0) {
    run->seen[w->index] = sequence;
  } else if (sequence > last) {
    w->missing += sequence - last - 1;
    run->seen[w->index] = sequence;
  } else {
    w->repeated++;
  }
  w->events++;
  if (run->counting) {
    run->events++;
    uint64_t sent = read_hex16(marker + 19);
    histogram_add(run->latency, run->now > sent ? run->now - sent : 0);
  }
}

static bool count_base64(struct run *run, struct watcher *w, const uint8_t *text) {
  static int8_t values[256];
  if (values['B'] == 0) {
    const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 64; i++) values[(uint8_t)alphabet[i]] = (int8_t)i;
  }
  uint8_t marker[MARKER_BYTES];
  for (int i = 0; i < MARKER_BYTES / 3; i++) {
    const uint8_t *q = text + 4 * i;
    uint32_t v = (uint32_t)values[q[0]] << 18 | (uint32_t)values[q[1]] << 12 | (uint32_t)values[q[2]] << 6 |
                 (uint32_t)values[q[3]];
    marker[3 * i] = (uint8_t)(v >> 16);
    marker[3 * i + 1] = (uint8_t)(v >> 8);
    marker[3 * i + 2] = (uint8_t)v;
  }
  count_event(run, w, marker);
  return true;
}

// Finds the payload in one encoded event. It lies where it lay in the event before, unless a number in front of it grew by
// a digit, so the search through the whole event is rare.
bool count_in(struct run *run, struct watcher *w, const uint8_t *bytes, size_t length) {
  if (length < PAYLOAD_BYTES) return false;
  size_t at = (size_t)run->marker_offset;
  for (int attempt = 0; attempt < 2; attempt++) {
    if (at + MARKER_BYTES <= length && memcmp(bytes + at, "ev:", 3) == 0) {
      run->marker_offset = (int)at;
      count_event(run, w, bytes + at);
      return true;
    }
    if (at + MARKER_BYTES / 3 * 4 <= length && memcmp(bytes + at, "ZXY6", 4) == 0) {
      run->marker_offset = (int)at;
      return count_base64(run, w, bytes + at);
    }
    const uint8_t *found = memmem(bytes, length, "ev:", 3);
    if (!found) found = memmem(bytes, length, "ZXY6", 4);
    if (!found) return false;
    at = (size_t)(found - bytes);
  }
  return false;
}
