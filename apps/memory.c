#include "memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "timing.h"

enum { ALIGNED = 4096 };

/* Every thread has a part of its own: it reads all of it, and copies the first half over the second. */
typedef struct array {
  char *data;
  size_t part; /* bytes */
  int threads;
} array;

/* The last-level cache that the first processor has, alone or with others; 0: not known. */
static int64_t cache_bytes(void) {
  char text[32] = "";
  FILE *file = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r");
  if (!file) return 0;
  const char *read = fgets(text, sizeof text, file); /* as "32768K" */
  (void)fclose(file);
  return read ? strtoll(text, NULL, 10) << 10 : 0;
}

/* Twice what the threads have if no two share a cache, within what a small machine has. */
static size_t array_bytes(int threads) {
  const int64_t least = 128 << 20, most = 1 << 30;
  int64_t bytes = 2 * cache_bytes() * threads;
  return (size_t)(bytes < least ? least : bytes > most ? most : bytes);
}

/* In four sums, so that none waits for itself. */
static uint64_t sum_of(const char *data, size_t bytes) {
  typedef uint64_t vector __attribute__((vector_size(16), may_alias));
  vector a = {0}, b = {0}, c = {0}, d = {0};
  for (size_t i = 0; i < bytes; i += 4 * sizeof a) {
    const vector *at = (const vector *)(data + i);
    a += at[0];
    b += at[1];
    c += at[2];
    d += at[3];
  }
  a += b + c + d;
  return a[0] + a[1];
}

/* What was never written to may be one page of zeros, over and over. */
static void fill(const array *a) {
#pragma omp parallel for num_threads(a->threads) schedule(static, 1)
  for (int i = 0; i < a->threads; i++) memset(a->data + (size_t)i * a->part, 1, a->part);
}

static volatile uint64_t kept; /* what is not used would not be read */

static void read_all(const array *a) {
  uint64_t sum = 0;
#pragma omp parallel for num_threads(a->threads) schedule(static, 1) reduction(+ : sum)
  for (int i = 0; i < a->threads; i++) sum += sum_of(a->data + (size_t)i * a->part, a->part);
  kept = sum;
}

/* Past the caches: an ordinary store first reads what it overwrites, and whether memcpy does is a matter of sizes. */
static void copy(char *to, const char *from, size_t bytes) {
#ifdef __SSE2__
  for (size_t i = 0; i < bytes; i += sizeof(__m128i))
    _mm_stream_si128((__m128i *)(to + i), _mm_load_si128((const __m128i *)(from + i)));
  _mm_sfence();
#else
  memcpy(to, from, bytes);
#endif
}

static void copy_half(const array *a) {
#pragma omp parallel for num_threads(a->threads) schedule(static, 1)
  for (int i = 0; i < a->threads; i++) {
    char *from = a->data + (size_t)i * a->part;
    copy(from + a->part / 2, from, a->part / 2);
  }
}

/* The best of some rounds: whatever disturbs one makes it slower. Both kinds touch every byte once. */
static double rate_of(void (*work)(const array *), const array *a) {
  double best = 0;
  for (int round = 0; round < 8; round++) {
    double start = now_ms();
    work(a);
    double seconds = (now_ms() - start) * 1e-3;
    if (round == 0 || seconds < best) best = seconds;
  }
  return (double)a->part * a->threads / best;
}

bool memory_measure(int threads, memory_rates *rates) {
  size_t count = (size_t)threads, pages = array_bytes(threads) / (2 * ALIGNED) / count + 1;
  array a = {.part = 2 * pages * ALIGNED, .threads = threads};
  a.data = aligned_alloc(ALIGNED, a.part * count);
  if (!a.data) return false;
  fill(&a);
  rates->read = rate_of(read_all, &a);
  rates->copy = rate_of(copy_half, &a);
  free(a.data);
  return true;
}
