#include "kws_ring.h"

#include <stdatomic.h>

kws_status kws_ring_init(kws_ring* ring, uint32_t settling_samples) {
  if (!ring) return KWS_BAD_ARGUMENT;
  ring->added = ring->taken = ring->lost = ring->reported = 0;
  ring->settling_samples = settling_samples;
  return KWS_OK;
}

void kws_ring_add(kws_ring* ring, const int16_t* samples, size_t n_samples) {
  const size_t thrown_away = n_samples < ring->settling_samples ? n_samples : ring->settling_samples;
  ring->settling_samples -= (uint32_t)thrown_away;
  samples += thrown_away;
  n_samples -= thrown_away;

  const uint32_t added = ring->added, room = KWS_RING_SAMPLES - (added - ring->taken);
  const uint32_t n = n_samples < room ? (uint32_t)n_samples : room;
  for (uint32_t i = 0; i < n; ++i) ring->samples[(added + i) % KWS_RING_SAMPLES] = samples[i];
  atomic_signal_fence(memory_order_release);  // the samples are there before the count says so
  ring->added = added + n;
  ring->lost = ring->lost + (uint32_t)n_samples - n;
}

size_t kws_ring_take(kws_ring* ring, int16_t* samples, size_t limit) {
  const uint32_t taken = ring->taken, waiting = ring->added - taken;
  const uint32_t n = limit < waiting ? (uint32_t)limit : waiting;
  atomic_signal_fence(memory_order_acquire);
  for (uint32_t i = 0; i < n; ++i) samples[i] = ring->samples[(taken + i) % KWS_RING_SAMPLES];
  atomic_signal_fence(memory_order_release);  // they are copied before the count gives their place away
  ring->taken = taken + n;
  return n;
}

uint32_t kws_ring_lost(kws_ring* ring) {
  const uint32_t lost = ring->lost, since = lost - ring->reported;
  ring->reported = lost;
  return since;
}
