#include "kws_host_frames.h"

#if defined(__x86_64__)
#include <cpuid.h>

// What __builtin_cpu_supports("avx2") says; compiled by zig 0.17, that always says no.
static int has_avx2(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX)) return 0;
  __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  if ((a & 6) != 6) return 0;  // the system does not keep the wide registers
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}
#endif

int kws_host_features(const int16_t* clips, size_t n_clips, size_t n_samples, uint16_t step_samples,
                      uint16_t* features) {
  if (step_samples == 0 || step_samples > KWS_WINDOW_SAMPLES || n_samples < KWS_WINDOW_SAMPLES) return KWS_BAD_ARGUMENT;
#if defined(__x86_64__)
  if (has_avx2()) {
    kws_host_features_avx2(clips, n_clips, n_samples, step_samples, features);
    return KWS_OK;
  }
#endif
  compute_features(clips, n_clips, n_samples, step_samples, features);
  return KWS_OK;
}
