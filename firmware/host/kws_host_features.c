// The front end over a batch: frames side by side as vector registers hold them, whichever clips they come from.
#define KWS_LANES 32

#include "kws_channels.h"
#include "kws_host.h"
#include "kws_mel_plain.h"

static void compute_features(const int16_t* clips, size_t n_clips, size_t n_samples, size_t step_samples,
                             uint16_t* features) {
  const size_t clip_frames = 1 + (n_samples - KWS_WINDOW_SAMPLES) / step_samples, n_frames = n_clips * clip_frames;
  uint32_t noise_estimate[KWS_CHANNELS];
  kws_frontend_scratch scratch;
  for (size_t first = 0; first < n_frames; first += KWS_LANES) {
    const int16_t* windows[KWS_LANES];
    for (size_t lane = 0; lane < KWS_LANES; ++lane) {
      const size_t frame = first + lane < n_frames ? first + lane : n_frames - 1;  // lanes left over repeat the last
      windows[lane] = clips + frame / clip_frames * n_samples + frame % clip_frames * step_samples;
    }
    kws_mel_channels_plain(windows, &scratch);
    for (size_t lane = 0; lane < KWS_LANES && first + lane < n_frames; ++lane) {
      if ((first + lane) % clip_frames == 0) memset(noise_estimate, 0, sizeof noise_estimate);
      kws_channel_features(noise_estimate, scratch.spectrum.channels[lane], features + (first + lane) * KWS_CHANNELS);
    }
  }
}

#if defined(__x86_64__)
// The same once more, compiled for the wider registers that most of these machines have.
__attribute__((target("avx2"), flatten)) static void compute_features_avx2(const int16_t* clips, size_t n_clips,
                                                                           size_t n_samples, size_t step_samples,
                                                                           uint16_t* features) {
  compute_features(clips, n_clips, n_samples, step_samples, features);
}
#endif

int kws_host_features(const int16_t* clips, size_t n_clips, size_t n_samples, uint16_t step_samples,
                      uint16_t* features) {
  if (step_samples == 0 || step_samples > KWS_WINDOW_SAMPLES || n_samples < KWS_WINDOW_SAMPLES) return KWS_BAD_ARGUMENT;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    compute_features_avx2(clips, n_clips, n_samples, step_samples, features);
    return KWS_OK;
  }
#endif
  compute_features(clips, n_clips, n_samples, step_samples, features);
  return KWS_OK;
}
