// Samples on their way from a microphone's interrupt to the main loop.
//
// One side only adds, the other only takes; no lock is needed. The first samples are thrown away while the microphone
// settles, and samples that find no room are counted as lost.
#ifndef KWS_RING_H_
#define KWS_RING_H_

#include <stddef.h>
#include <stdint.h>

#include "kws_status.h"

enum { KWS_RING_SAMPLES = 4096 };  // a power of two: 256 ms

typedef struct {
  int16_t samples[KWS_RING_SAMPLES];
  volatile uint32_t added;     // so far, modulo 2^32; only the interrupt changes it
  volatile uint32_t taken;     // only the main loop changes it
  volatile uint32_t lost;      // so far; only the interrupt changes it
  uint32_t reported;           // of the lost ones; only the main loop changes it
  uint32_t settling_samples;   // still to be thrown away
} kws_ring;

kws_status kws_ring_init(kws_ring* ring, uint32_t settling_samples);

// From the interrupt. What doesn't fit is lost.
void kws_ring_add(kws_ring* ring, const int16_t* samples, size_t n_samples);

// From the main loop: takes up to `limit` samples, returns how many.
size_t kws_ring_take(kws_ring* ring, int16_t* samples, size_t limit);

// From the main loop: samples that were lost since the last call.
uint32_t kws_ring_lost(kws_ring* ring);

#endif
