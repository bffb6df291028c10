// The parts of the front end that have a fast version for the Cortex-M4, where KWS_DSP (kws_cpu.h).
#ifndef KWS_FRONTEND_DSP_H_
#define KWS_FRONTEND_DSP_H_

#include <stdbool.h>
#include <stdint.h>

#include "kws_cpu.h"
#include "kws_frontend.h"

// One frame's KWS_CHANNELS mel channels, before the noise reduction, somewhere in the scratch. samples:
// KWS_WINDOW_SAMPLES.
uint32_t* kws_mel_channels_dsp(const int16_t* samples, kws_frontend_scratch* scratch);

// The FFT of kws_fft.h, cut to what the front end needs: shifted samples in, energies of the bins out. A complex number
// is one word, its real part in the lower half.

// samples: KWS_FFT_SIZE / 2 words, of which the first KWS_WINDOW_SAMPLES / 2 hold two samples each; used as scratch.
// shift: 0..15, by which each sample is to be shifted left first; no sample may overflow by it. points: KWS_FFT_SIZE /
// 2 words, the complex spectrum before the split.
void kws_fft_dsp(uint32_t* samples, int shift, uint32_t* points);

// Splits the spectrum and replaces points[k] by the energy of bin k, for first <= k <= 256 - first. first: 1..128.
void kws_bin_energies_dsp(uint32_t* points, int first);

#if KWS_DSP
// From a root that is nearly right to the nearest one, and kws_sqrt64's exception. Seldom needed.
__attribute__((noinline)) uint32_t kws_correct_root(int32_t root, int32_t remainder);

// kws_sqrt64(x) for x < 2^48. The FPU's root is off by a few at most, so the remainder fits 32 bits and tells the rest:
// the root is the nearest integer when -root < remainder <= root.
static inline uint32_t kws_nearest_root(kws_long x) {
  const float all = kws_multiply_add_float((float)x.low, (float)x.high, 4294967296.0f);
  const int32_t root = kws_sqrt_float(all);
  const int32_t remainder = (int32_t)(x.low - (uint32_t)root * (uint32_t)root);
  const bool nearest = (uint32_t)(remainder + root - 1) < 2 * (uint32_t)root;
  return __builtin_expect(nearest && root != 0x10000, 1) ? (uint32_t)root : kws_correct_root(root, remainder);
}
#endif

#endif
