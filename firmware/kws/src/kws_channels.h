// Mel channels to features, frame after frame: noise reduction, gain and logarithm.
#ifndef KWS_CHANNELS_H_
#define KWS_CHANNELS_H_

#include <stdint.h>

#include "kws_cpu.h"
#include "kws_math.h"
#include "kws_tables.h"

// Products of 32-bit numbers are shifted so that the wanted bits are the upper word: a Cortex-M4 takes it as it is.
static inline uint32_t upper_word(uint64_t x) { return (uint32_t)(x >> 32); }

// --- noise reduction -------------------------------------------------------------------------------------------------

// The weights of a new and an old value in a running mean, as upper_word wants them: (a * b_q14) >> 14 is
// upper_word(a * (b_q14 << 18)).
typedef struct {
  uint32_t newest;
  uint32_t before;
} smoothing;

static inline smoothing smoothing_of(uint32_t newest_q14) {
  smoothing s = {newest_q14 << 18, ((1u << 14) - newest_q14) << 18};
  KWS_KEEP(s.newest);
  KWS_KEEP(s.before);
  return s;
}

// Subtracts a running estimate of the noise in a channel, but leaves at least min_signal of the signal.
static inline void reduce_noise(uint32_t* estimate, uint32_t* energy, smoothing mean, uint32_t min_signal) {
  const uint32_t scaled = *energy << KWS_NOISE_SMOOTHING_BITS;
  const uint32_t noise = upper_word((uint64_t)scaled * mean.newest + (uint64_t)*estimate * mean.before);
  const uint32_t subtracted = noise > scaled ? 0 : (scaled - noise) >> KWS_NOISE_SMOOTHING_BITS;
  const uint32_t floor = upper_word((uint64_t)*energy * min_signal);
  *estimate = noise;
  *energy = subtracted > floor ? subtracted : floor;
}

_Static_assert(KWS_CHANNELS % 2 == 0, "channels come in pairs, an even and an odd one");

static inline void reduce_noises(uint32_t* estimates, uint32_t* energy) {
  const smoothing even = smoothing_of(KWS_NOISE_EVEN_SMOOTHING_Q14), odd = smoothing_of(KWS_NOISE_ODD_SMOOTHING_Q14);
  uint32_t min_signal = KWS_NOISE_MIN_SIGNAL_Q14 << 18;
  KWS_KEEP(min_signal);
  for (const uint32_t* const end = energy + KWS_CHANNELS; energy < end; energy += 2, estimates += 2) {
    KWS_KEEP(energy);
    KWS_KEEP(estimates);
    reduce_noise(&estimates[0], &energy[0], even, min_signal);
    reduce_noise(&estimates[1], &energy[1], odd, min_signal);
  }
}

// --- PCAN: per-channel automatic gain --------------------------------------------------------------------------------

// The gain, a falling function of the noise estimate, from a table of parabolas: one for each power of two.
static inline uint32_t pcan_gain(uint32_t x) {
  if (x <= 2) return (uint32_t)kws_pcan_small[x];
  const int zeros = 32 - kws_bit_length32(x);
  const int16_t* parabola = kws_pcan_parabolas[30 - zeros];
  const int32_t fraction = (int32_t)(x << (zeros + 1) >> 22);  // the ten bits below the highest
  int32_t y = (parabola[2] * fraction) >> 5;
  y += parabola[1] * 32;
  y *= fraction;
  y = (y + (1 << 14)) >> 15;
  return (uint32_t)(int32_t)(int16_t)(y + parabola[0]);
}

// Soft compression: a parabola for small signal-to-noise ratios, a line above.
static inline uint32_t pcan_shrink(uint32_t snr) {
  if (snr < (2u << KWS_PCAN_SNR_BITS)) return (snr * snr) >> (2 + 2 * KWS_PCAN_SNR_BITS - KWS_PCAN_OUTPUT_BITS);
  return (snr >> (KWS_PCAN_SNR_BITS - KWS_PCAN_OUTPUT_BITS)) - (1u << KWS_PCAN_OUTPUT_BITS);
}

static inline uint32_t apply_pcan(uint32_t estimate, uint32_t energy) {
  return pcan_shrink((uint32_t)(((uint64_t)energy * pcan_gain(estimate)) >> KWS_PCAN_SNR_SHIFT));
}

// --- logarithm -------------------------------------------------------------------------------------------------------

// ln(8 x) << KWS_LOG_SCALE_SHIFT for x < 2^29, 0 for 0. log2 of 1.f in Q16 is f itself, plus a correction interpolated
// between 129 table entries. Then ln_q16 = (KWS_LN2_Q16 * log2_q16 + 2^15) >> 16, and the result is
// (ln_q16 * 2^KWS_LOG_SCALE_SHIFT + 2^15) >> 16: two divisions, rounded down, that make one.
static inline uint16_t scaled_log(uint32_t x) {
  if (x == 0) return 0;
  const int integer = kws_bit_length32(x) - 1;
  const uint32_t fraction = x << (31 - integer) << 1 >> 16;  // the 16 bits below the highest
  const uint16_t* correction = kws_log2_correction + (fraction >> 9);
  const int32_t low = correction[0], high = correction[1];
  const uint32_t log2_q16 = ((uint32_t)(integer + KWS_LOG_CORRECTION_BITS) << 16) + fraction +
                            (uint32_t)(low + (((high - low) * (int32_t)(fraction & 0x1FF)) >> 16));
  const uint64_t rounding = (1u << 15) + (1u << (31 - KWS_LOG_SCALE_SHIFT));
  return (uint16_t)upper_word(((uint64_t)log2_q16 * KWS_LN2_Q16 + rounding) << KWS_LOG_SCALE_SHIFT);
}

// --- all three -------------------------------------------------------------------------------------------------------

// One frame's features from its channels, which serve as scratch; the noise estimate goes on from frame to frame.
static inline void kws_channel_features(uint32_t* noise_estimate, uint32_t* channels, uint16_t* features) {
  reduce_noises(noise_estimate, channels);
  for (int i = 0; i < KWS_CHANNELS; ++i) features[i] = scaled_log(apply_pcan(noise_estimate[i], channels[i]));
}

#endif
