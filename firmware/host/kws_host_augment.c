#include <string.h>

#include "kws_host.h"
#include "kws_math.h"

// The nearest integer, ties to the even one: next to 1.5 * 2^23 a float (2^52: a double) has no room for a fraction.
// |x| < 2^22.
static inline int32_t round_float(float x) {
  const float shifted = x + 12582912.0f;
  return (int32_t)(shifted - 12582912.0f);
}

static inline int32_t round_double(double x) {
  const double shifted = x + 6755399441055744.0;
  return (int32_t)(shifted - 6755399441055744.0);
}

static void shift_clip(const int16_t* restrict clip, size_t n_samples, int32_t shift, int16_t* restrict out) {
  const size_t late = shift > 0 ? (size_t)shift : 0, early = shift < 0 ? (size_t)-shift : 0;
  memset(out, 0, late * sizeof *out);
  memcpy(out + late, clip + early, (n_samples - late - early) * sizeof *out);
  memset(out + n_samples - early, 0, early * sizeof *out);
}

// One product, one sum, each rounded to a float (in statements of their own, lest a compiler fuses them).
static void add_noise(const int16_t* restrict noise, size_t n_samples, float volume, int16_t* restrict out) {
  for (size_t i = 0; i < n_samples; ++i) {
    const float added = noise[i] * volume;
    const float mixed = out[i] + added;
    out[i] = (int16_t)kws_clamp(round_float(mixed), INT16_MIN, INT16_MAX);
  }
}

void kws_host_augment(const int16_t* clips, size_t n_clips, size_t n_samples, const int32_t* shifts,
                      const int16_t* noise, const int64_t* starts, const float* volumes, int16_t* out) {
  for (size_t i = 0; i < n_clips; ++i, clips += n_samples, out += n_samples) {
    shift_clip(clips, n_samples, shifts[i], out);
    if (volumes[i] > 0) add_noise(noise + starts[i], n_samples, volumes[i], out);
  }
}

void kws_host_noise(const int16_t* noise, const int64_t* starts, const double* volumes, size_t n_clips,
                    size_t n_samples, int16_t* out) {
  for (size_t i = 0; i < n_clips; ++i, out += n_samples)
    for (size_t k = 0; k < n_samples; ++k) out[k] = (int16_t)round_double(noise[starts[i] + (int64_t)k] * volumes[i]);
}
