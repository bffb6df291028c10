// Samples to mel channels in plain C, KWS_LANES frames at once: what kws_frontend_dsp.c has for the Cortex-M4.
#ifndef KWS_MEL_PLAIN_H_
#define KWS_MEL_PLAIN_H_

#include <string.h>

#include "kws_fft_plain.h"
#include "kws_frontend.h"
#include "kws_math.h"
#include "kws_tables.h"

// --- window ----------------------------------------------------------------------------------------------------------

// Windows the samples and shifts them left as far as the loudest of them allows, so that the 16-bit FFT keeps its
// precision on quiet audio. Returns the shift. (-32768 cannot be negated in 16 bits and does not count as loud: so the
// original has it, and so it must stay.)
static inline int window_and_scale(const int16_t* samples, int16_t* out) {
  int16_t loudest = 0;
  for (int i = 0; i < KWS_WINDOW_SAMPLES; ++i) {
    const int16_t value = (int16_t)(((int32_t)samples[i] * kws_window[i]) >> KWS_WINDOW_BITS);
    const int16_t magnitude = (int16_t)(value < 0 ? -value : value);
    out[i] = value;
    if (magnitude > loudest) loudest = magnitude;
  }
  const int shift = 15 - kws_bit_length32((uint32_t)loudest);
  for (int i = 0; i < KWS_WINDOW_SAMPLES; ++i) out[i] = (int16_t)((uint32_t)(uint16_t)out[i] << shift);
  memset(out + KWS_WINDOW_SAMPLES, 0, (KWS_FFT_SIZE - KWS_WINDOW_SAMPLES) * sizeof *out);
  return shift;
}

// --- filter bank -----------------------------------------------------------------------------------------------------

static inline uint32_t bin_energy(int32_t re, int32_t im) { return (uint32_t)(re * re) + (uint32_t)(im * im); }

// Triangular filters, each as wide as two bands of bins: channel i rises in band i and falls in band i + 1, so one pass
// over the bins fills the channel that falls and begins the one that rises. The square root undoes the squaring, and
// the right shift the left shift of window_and_scale.
static inline void mel_filter_bank(const kws_lanes16* bins, const int shift[KWS_LANES],
                                   uint32_t energy[KWS_LANES][KWS_CHANNELS]) {
  const uint16_t* rising_weight = kws_filter_rising;
  const uint16_t* falling_weight = kws_filter_falling;
  uint64_t rising[KWS_LANES] = {0}, falling[KWS_LANES];
  for (int band = 0; band <= KWS_CHANNELS; ++band) {
    memcpy(falling, rising, sizeof falling);
    memset(rising, 0, sizeof rising);
    for (int bin = kws_filter_start[band]; bin < kws_filter_start[band + 1]; ++bin) {
      const uint32_t rise = *rising_weight++, fall = *falling_weight++;
      uint32_t e[KWS_LANES];
      for (int lane = 0; lane < KWS_LANES; ++lane) e[lane] = bin_energy(bins[bin].re[lane], bins[bin].im[lane]);
      for (int lane = 0; lane < KWS_LANES; ++lane) rising[lane] += (uint64_t)e[lane] * rise;
      for (int lane = 0; lane < KWS_LANES; ++lane) falling[lane] += (uint64_t)e[lane] * fall;
    }
    if (band > 0)
      for (int lane = 0; lane < KWS_LANES; ++lane) energy[lane][band - 1] = kws_sqrt64(falling[lane]) >> shift[lane];
  }
}

// Leaves the mel channels of each frame, before the noise reduction, in scratch->spectrum.channels. windows:
// KWS_WINDOW_SAMPLES each.
static inline void kws_mel_channels_plain(const int16_t* const windows[KWS_LANES], kws_frontend_scratch* scratch) {
  int shift[KWS_LANES];
  for (int lane = 0; lane < KWS_LANES; ++lane)
    shift[lane] = window_and_scale(windows[lane], scratch->samples.samples[lane]);
  fft_real(scratch->samples.pairs, scratch->spectrum.points, scratch->samples.bins);
  mel_filter_bank(scratch->samples.bins, shift, scratch->spectrum.channels);
}

#endif
