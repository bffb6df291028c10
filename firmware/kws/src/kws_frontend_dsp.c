// The first half of a frame on the Cortex-M4, from the window to the mel channels: what kws_frontend.c does in plain C.
#include "kws_dsp.h"

#if KWS_DSP

#include "kws_fft_dsp.h"
#include "kws_frontend_dsp.h"
#include "kws_math.h"
#include "kws_tables.h"

enum { WORDS = KWS_WINDOW_SAMPLES / 2 };

// A -32768 does not count as loud (see the plain version), so it may overflow in the shift; then nothing is left of it.
// That takes full scale in the middle of the window and at most half of it elsewhere.
static void drop_overflowing(uint32_t* words) {
  for (uint32_t* word = words; word < words + WORDS; ++word) {
    if ((*word & 0xFFFF) == 0x8000) *word &= 0xFFFF0000;
    if (*word >> 16 == 0x8000) *word &= 0xFFFF;
  }
}

// The window is symmetrical: one load of two weights serves two samples from the front and two from the back. The
// weights have 16 fraction bits, so that SMULW, which drops 16 bits of the product, leaves the windowed sample.
// Only the highest bit of the loudest sample matters, hence the OR. The shift itself is left to the FFT.
static int window_and_scale(const int16_t* samples, uint32_t* words) {
  const int32_t* weight = kws_half_window_q16;
  const int16_t* end = samples + KWS_WINDOW_SAMPLES;
  uint32_t* front = words;
  uint32_t* back = words + WORDS;
  uint32_t loudest = 0;
  while (front < back) {
    const int32_t outer = *weight++, inner = *weight++;
    end -= 2;
    const uint32_t first = kws_load_pair(samples), last = kws_load_pair(end);
    samples += 2;
    const uint32_t first_windowed = KWS_PACK_LOW(kws_weigh_low(outer, first), kws_weigh_high(inner, first), 16);
    const uint32_t last_windowed = KWS_PACK_LOW(kws_weigh_low(inner, last), kws_weigh_high(outer, last), 16);
    *front++ = first_windowed;
    *--back = last_windowed;
    loudest |= kws_packed_abs(first_windowed) | kws_packed_abs(last_windowed);
  }
  const int shift = 15 - kws_bit_length32((loudest | loudest >> 16) & 0x7FFF);
  if (shift > 0 && (loudest & 0x80008000)) drop_overflowing(words);
  return shift;
}

// kws_sqrt64 for x < 2^48. The FPU's root is off by 2 at most; from there the remainder, which then fits 32 bits, leads
// to the root with -root < remainder <= root: the nearest integer.
static inline uint32_t nearest_root(uint64_t x) {
  const float estimate = kws_sqrt_float((float)(uint32_t)(x >> 32) * 4294967296.0f + (float)(uint32_t)x);
  int32_t root = (int32_t)(estimate + 0.5f);
  int32_t remainder = (int32_t)((uint32_t)x - (uint32_t)root * (uint32_t)root);
  while (remainder > root) remainder -= 2 * root++ + 1;
  while (remainder < 0 && remainder <= -root) remainder += 2 * root-- - 1;
  return root == 0x10000 && remainder < 0 ? 0xFFFF : (uint32_t)root;  // kws_sqrt64's exception
}

// The two weights of a bin add up to 2^KWS_FILTER_BITS, so the falling sum needs no weights of its own.
static void mel_filter_bank(const uint32_t* bin_energy, int shift, uint32_t* channels) {
  const uint16_t* weight = kws_filter_rising;
  const uint32_t* bin = bin_energy + kws_filter_start[0];
  uint64_t rising = 0;
  for (int band = 0; band <= KWS_CHANNELS; ++band) {
    const uint32_t* const end = bin_energy + kws_filter_start[band + 1];
    const uint64_t before = rising;
    uint64_t sum = 0;
    rising = 0;
    do {
      rising += (uint64_t)*bin * *weight++;
      sum += (uint64_t)*bin++ << KWS_FILTER_BITS;
    } while (bin < end);
    if (band > 0) *channels++ = nearest_root(before + sum - rising) >> shift;
  }
}

void kws_mel_channels_dsp(const int16_t* samples, kws_frontend_scratch* scratch, uint32_t* channels) {
  const int shift = window_and_scale(samples, scratch->samples.words);
  kws_fft_dsp(scratch->samples.words, shift, scratch->spectrum.words);
  kws_bin_energies_dsp(scratch->spectrum.words, kws_filter_start[0]);
  mel_filter_bank(scratch->spectrum.words, shift, channels);
}

#endif
