// The audio front end: int16 samples in, one row of KWS_CHANNELS features every step, integers all the way.
//
//   window -> FFT -> energy -> mel filter bank -> square root -> noise reduction -> PCAN gain -> logarithm
//
// It computes what TensorFlow's audio_microfrontend op computes, value for value, so a model trained on the one runs on
// the other. A feature is a uint16 in 0..KWS_MAX_FEATURE; the network's input is feature * KWS_FEATURE_SCALE.
#ifndef KWS_FRONTEND_H_
#define KWS_FRONTEND_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kws_config.h"
#include "kws_fft.h"
#include "kws_status.h"

// The scratch of one frame (of KWS_LANES frames); nothing is carried over in it. The bins take the place of the samples
// they came from, and the channels whichever half is free. `words` is how the packed version sees the same memory.
typedef struct {
  union {
    int16_t samples[KWS_LANES][KWS_FFT_SIZE];
    kws_complex16 pairs[KWS_LANES][KWS_FFT_SIZE / 2];
    kws_lanes16 bins[KWS_FFT_BINS];
    uint32_t words[KWS_FFT_SIZE / 2];
  } samples;
  union {
    kws_lanes16 points[KWS_FFT_SIZE / 2];
    uint32_t words[KWS_FFT_SIZE / 2];
    uint32_t channels[KWS_LANES][KWS_CHANNELS];
  } spectrum;
} kws_frontend_scratch;

typedef struct {
  uint16_t step_samples;                   // distance of two windows, 1..KWS_WINDOW_SAMPLES
  uint16_t filled_samples;                 // how much of `window` holds audio
  int16_t window[KWS_WINDOW_SAMPLES];      // the last samples heard, oldest first
  uint32_t noise_estimate[KWS_CHANNELS];   // running mean of each channel, << KWS_NOISE_SMOOTHING_BITS
  kws_frontend_scratch scratch;
} kws_frontend;

// Sets the step and forgets everything heard. The step of the reference model is KWS_STEP_SAMPLES.
kws_status kws_frontend_init(kws_frontend* frontend, uint16_t step_samples);

// Forgets everything heard, noise estimate included; the step stays.
void kws_frontend_reset(kws_frontend* frontend);

// Takes samples until a window is full or they run out, and says in *consumed how many it took: call it again with the
// rest. True when a frame was completed and written to features[KWS_CHANNELS].
bool kws_frontend_process(kws_frontend* frontend, const int16_t* samples, size_t n_samples, size_t* consumed,
                          uint16_t* features);

#endif
