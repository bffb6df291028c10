// The ring between a microphone and the main loop: nothing out of order, every lost sample counted.
#include <string.h>

#include "check.h"
#include "kws_ring.h"

static int16_t next_value(uint32_t* n) { return (int16_t)((*n)++ * 7 % 30011); }

static void test_settling_and_order(uint32_t start) {
  static kws_ring ring;
  int16_t in[700], out[1000];
  uint32_t sent = 0, expected = 1000, random = 1;
  CHECK(kws_ring_init(NULL, 0) == KWS_BAD_ARGUMENT);
  CHECK(kws_ring_init(&ring, 1000) == KWS_OK);
  ring.added = ring.taken = start;  // the counts may wrap
  for (int round = 0; round < 2000; ++round) {
    random = random * 1664525u + 1013904223u;
    const size_t n = (random >> 8) % 700, limit = (random >> 18) % 1000 + 700;
    for (size_t i = 0; i < n; ++i) in[i] = next_value(&sent);
    kws_ring_add(&ring, in, n);
    const size_t taken = kws_ring_take(&ring, out, limit > 1000 ? 1000 : limit);
    for (size_t i = 0; i < taken; ++i) CHECK(out[i] == next_value(&expected));
  }
  CHECK(kws_ring_lost(&ring) == 0 && expected > 100000 && ring.taken == ring.added);
}

static void test_overrun(void) {
  static kws_ring ring;
  static int16_t in[KWS_RING_SAMPLES + 10], out[KWS_RING_SAMPLES + 10];
  for (int i = 0; i < KWS_RING_SAMPLES + 10; ++i) in[i] = (int16_t)i;
  kws_ring_init(&ring, 0);
  kws_ring_add(&ring, in, KWS_RING_SAMPLES + 10);
  kws_ring_add(&ring, in, 5);
  CHECK(kws_ring_lost(&ring) == 15 && kws_ring_lost(&ring) == 0);
  CHECK(kws_ring_take(&ring, out, KWS_RING_SAMPLES + 10) == KWS_RING_SAMPLES);
  CHECK(memcmp(in, out, KWS_RING_SAMPLES * sizeof *in) == 0);
  CHECK(kws_ring_take(&ring, out, 10) == 0);
  kws_ring_add(&ring, in, 3);
  CHECK(kws_ring_take(&ring, out, 10) == 3 && kws_ring_lost(&ring) == 0);
}

int main(void) {
  test_settling_and_order(0);
  test_settling_and_order(0xFFFFF000u);
  test_overrun();
  return failures;
}
