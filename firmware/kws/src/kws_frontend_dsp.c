// The first half of a frame on the Cortex-M4, from the window to the mel channels: what kws_frontend.c does in plain C.
#include "kws_cpu.h"

#if KWS_DSP

#include "kws_frontend_dsp.h"
#include "kws_math.h"
#include "kws_math.h"
#include "kws_tables.h"

enum { WORDS = KWS_WINDOW_SAMPLES / 2, MOST_BINS = 15 };

_Static_assert(WORDS % 4 == 0, "the loop over the window takes two words from either end at a time");
_Static_assert(KWS_FILTER_MAX_WIDTH <= MOST_BINS, "mel_filter_bank has a case for each width");

// A -32768 does not count as loud (see the plain version), so it may overflow in the shift; then nothing is left of it.
// That takes full scale in the middle of the window and at most half of it elsewhere.
__attribute__((noinline)) static void drop_overflowing(uint32_t* words) {
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
  while (front != back) {
    for (int unrolled = 0; unrolled < 2; ++unrolled) {
      KWS_KEEP(weight);
      KWS_KEEP(samples);
      KWS_KEEP(end);
      KWS_KEEP(front);
      KWS_KEEP(back);
      const int32_t outer = *weight++, inner = *weight++;
      const uint32_t first = kws_load_word(samples), last = kws_load_word(end -= 2);
      samples += 2;
      const uint32_t first_windowed = KWS_PACK_LOW(kws_weigh_low(outer, first), kws_weigh_high(inner, first), 16);
      const uint32_t last_windowed = KWS_PACK_LOW(kws_weigh_low(inner, last), kws_weigh_high(outer, last), 16);
      *front++ = first_windowed;
      *--back = last_windowed;
      loudest |= kws_packed_abs(first_windowed) | kws_packed_abs(last_windowed);
    }
  }
  const int shift = 15 - kws_bit_length32((loudest | loudest >> 16) & 0x7FFF);
  if (shift > 0 && (loudest & 0x80008000)) drop_overflowing(words);
  return shift;
}

uint32_t kws_correct_root(int32_t root, int32_t remainder) {
  while (remainder > root) remainder -= 2 * root++ + 1;
  while (remainder < 0 && remainder <= -root) remainder += 2 * root-- - 1;
  return root == 0x10000 && remainder < 0 ? 0xFFFF : (uint32_t)root;
}

// The two weights of a bin add up to 2^KWS_FILTER_BITS, so the falling sum needs no weights of its own: it takes the
// whole energy, and the rising sum is subtracted in the end. The first band of bins only rises.
static void mel_filter_bank(const uint32_t* bin, int shift, uint32_t* channels) {
  const uint32_t* const channels_end = channels + KWS_CHANNELS;
  const uint8_t* width = kws_filter_width;
  const uint16_t* weight = kws_filter_rising;
  uint32_t one = 1 << KWS_FILTER_BITS;
  KWS_KEEP(one);
  kws_long rising = {0, 0};
  for (int n = *width++; n > 0; --n) rising = kws_multiply_add_long(rising, *bin++, *weight++);
  do {
    kws_long falling = rising;
    rising = (kws_long){0, 0};
    switch (*width++) {
#define KWS_BIN(n)                                           \
  case n:                                                    \
    rising = kws_multiply_add_long(rising, *bin, *weight++); \
    falling = kws_multiply_add_long(falling, *bin++, one);   \
    __attribute__((fallthrough))
      KWS_BIN(15);
      KWS_BIN(14);
      KWS_BIN(13);
      KWS_BIN(12);
      KWS_BIN(11);
      KWS_BIN(10);
      KWS_BIN(9);
      KWS_BIN(8);
      KWS_BIN(7);
      KWS_BIN(6);
      KWS_BIN(5);
      KWS_BIN(4);
      KWS_BIN(3);
      KWS_BIN(2);
      KWS_BIN(1);
      case 0:
        break;
      default:
        __builtin_unreachable();
    }
    *channels++ = kws_nearest_root(kws_subtract_long(falling, rising)) >> shift;
  } while (channels != channels_end);
}

uint32_t* kws_mel_channels_dsp(const int16_t* samples, kws_frontend_scratch* scratch) {
  uint32_t* const words = scratch->samples.words;
  uint32_t* const points = scratch->spectrum.words;
  const int shift = window_and_scale(samples, words);
  kws_fft_dsp(words, shift, points);
  kws_bin_energies_dsp(points, KWS_FILTER_FIRST_BIN);
  mel_filter_bank(points + KWS_FILTER_FIRST_BIN, shift, words);  // the samples are no longer needed
  return words;
}

#endif
