#include "kws_frontend.h"

#include <string.h>

#include "kws_dsp.h"
#include "kws_frontend_dsp.h"
#include "kws_math.h"
#include "kws_tables.h"

#if !KWS_DSP  // the plain version of kws_frontend_dsp.c

// --- window ----------------------------------------------------------------------------------------------------------

// Windows the samples and shifts them left as far as the loudest of them allows, so that the 16-bit FFT keeps its
// precision on quiet audio. Returns the shift. (-32768 cannot be negated in 16 bits and does not count as loud: so the
// original has it, and so it must stay.)
static int window_and_scale(const int16_t* samples, int16_t* out) {
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

static uint32_t bin_energy(kws_complex16 bin) {
  return (uint32_t)((int32_t)bin.re * bin.re) + (uint32_t)((int32_t)bin.im * bin.im);
}

// Triangular filters, each as wide as two bands of bins: channel i rises in band i and falls in band i + 1, so one pass
// over the bins fills the channel that falls and begins the one that rises. The square root undoes the squaring, and the
// right shift the left shift of window_and_scale.
static void mel_filter_bank(const kws_complex16* bins, int shift, uint32_t* energy) {
  const uint16_t* rising_weight = kws_filter_rising;
  const uint16_t* falling_weight = kws_filter_falling;
  uint64_t rising = 0;
  for (int band = 0; band <= KWS_CHANNELS; ++band) {
    uint64_t falling = rising;
    rising = 0;
    for (int bin = kws_filter_start[band]; bin < kws_filter_start[band + 1]; ++bin) {
      const uint64_t e = bin_energy(bins[bin]);
      rising += *rising_weight++ * e;
      falling += *falling_weight++ * e;
    }
    if (band > 0) energy[band - 1] = kws_sqrt64(falling) >> shift;
  }
}

static uint32_t* mel_channels(const int16_t* samples, kws_frontend_scratch* scratch) {
  const int shift = window_and_scale(samples, scratch->samples.samples);
  kws_fft_real(scratch->samples.samples, scratch->spectrum.points, scratch->samples.bins);
  mel_filter_bank(scratch->samples.bins, shift, scratch->spectrum.channels);
  return scratch->spectrum.channels;
}

#endif

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

static void reduce_noises(uint32_t* estimates, uint32_t* energy) {
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

// --- the whole -------------------------------------------------------------------------------------------------------

static void compute_frame(kws_frontend* f, uint16_t* features) {
#if KWS_DSP
  uint32_t* const channels = kws_mel_channels_dsp(f->window, &f->scratch);
#else
  uint32_t* const channels = mel_channels(f->window, &f->scratch);
#endif
  reduce_noises(f->noise_estimate, channels);
  for (int i = 0; i < KWS_CHANNELS; ++i) features[i] = scaled_log(apply_pcan(f->noise_estimate[i], channels[i]));
}

kws_status kws_frontend_init(kws_frontend* frontend, uint16_t step_samples) {
  if (!frontend || step_samples == 0 || step_samples > KWS_WINDOW_SAMPLES) return KWS_BAD_ARGUMENT;
  frontend->step_samples = step_samples;
  kws_frontend_reset(frontend);
  return KWS_OK;
}

void kws_frontend_reset(kws_frontend* frontend) {
  frontend->filled_samples = 0;
  memset(frontend->noise_estimate, 0, sizeof frontend->noise_estimate);
}

bool kws_frontend_process(kws_frontend* frontend, const int16_t* samples, size_t n_samples, size_t* consumed,
                          uint16_t* features) {
  const size_t wanted = (size_t)KWS_WINDOW_SAMPLES - frontend->filled_samples;
  const size_t taken = n_samples < wanted ? n_samples : wanted;
  memcpy(frontend->window + frontend->filled_samples, samples, taken * sizeof *samples);
  frontend->filled_samples = (uint16_t)(frontend->filled_samples + taken);
  *consumed = taken;
  if (frontend->filled_samples < KWS_WINDOW_SAMPLES) return false;
  compute_frame(frontend, features);
  const size_t kept = (size_t)KWS_WINDOW_SAMPLES - frontend->step_samples;
  memmove(frontend->window, frontend->window + frontend->step_samples, kept * sizeof *frontend->window);
  frontend->filled_samples = (uint16_t)kept;
  return true;
}
