// The front end over a batch once more, compiled for the wider registers that most x86-64 machines have.
#include <string.h>  // above the pragma: it is about ours only

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#include "kws_host_frames.h"

void kws_host_features_avx2(const int16_t* clips, size_t n_clips, size_t n_samples, size_t step_samples,
                            uint16_t* features) {
  compute_features(clips, n_clips, n_samples, step_samples, features);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
