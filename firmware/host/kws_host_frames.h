// The front end over a batch: frames side by side as vector registers hold them, whichever clips they come from.
// For a C file of its own: each compiles it for other registers.
#ifndef KWS_HOST_FRAMES_H_
#define KWS_HOST_FRAMES_H_

#define KWS_LANES 32

#include "kws_channels.h"
#include "kws_host.h"
#include "kws_mel_plain.h"

// Where the processor has these registers, and is an x86-64.
void kws_host_features_avx2(const int16_t* clips, size_t n_clips, size_t n_samples, size_t step_samples,
                            uint16_t* features);

static inline void compute_features(const int16_t* clips, size_t n_clips, size_t n_samples, size_t step_samples,
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

#endif
