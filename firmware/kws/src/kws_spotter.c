#include "kws_spotter.h"

#include <string.h>

#include "kws_math.h"

int8_t kws_quantize_feature(uint16_t feature) {
  const uint32_t scaled = feature * (uint32_t)KWS_MODEL_FEATURE_MULTIPLIER + (1u << (KWS_MODEL_FEATURE_SHIFT - 1));
  return (int8_t)kws_clamp((int32_t)(scaled >> KWS_MODEL_FEATURE_SHIFT) + KWS_MODEL_INPUT_ZERO_POINT, INT8_MIN,
                           INT8_MAX);
}

static void append_row(kws_spotter* s, const uint16_t* features) {
  const size_t kept = sizeof s->window - KWS_CHANNELS;
  memmove(s->window, s->window + KWS_CHANNELS, kept);
  for (int i = 0; i < KWS_CHANNELS; ++i) s->window[kept + (size_t)i] = kws_quantize_feature(features[i]);
}

static uint8_t index_of_largest(const int8_t* scores) {
  uint8_t best = 0;
  for (uint8_t i = 1; i < KWS_LABELS; ++i)
    if (scores[i] > scores[best]) best = i;
  return best;
}

kws_status kws_spotter_init(kws_spotter* spotter, uint16_t hop_frames) {
  if (!spotter || hop_frames == 0) return KWS_BAD_ARGUMENT;
  spotter->hop_frames = hop_frames;
  const kws_status status = kws_frontend_init(&spotter->frontend, KWS_STEP_SAMPLES);
  kws_spotter_reset(spotter);
  return status;
}

void kws_spotter_reset(kws_spotter* spotter) {
  kws_frontend_reset(&spotter->frontend);
  spotter->missing_frames = KWS_FRAMES;
  spotter->moved_frames = KWS_FRAMES;
  spotter->samples_heard = 0;
}

bool kws_spotter_process(kws_spotter* spotter, const int16_t* samples, size_t n_samples, size_t* consumed,
                         kws_prediction* prediction) {
  *consumed = 0;
  while (*consumed < n_samples) {
    uint16_t features[KWS_CHANNELS];
    size_t taken = 0;
    const bool frame_done =
        kws_frontend_process(&spotter->frontend, samples + *consumed, n_samples - *consumed, &taken, features);
    *consumed += taken;
    spotter->samples_heard += (uint32_t)taken;
    if (!frame_done) continue;
    append_row(spotter, features);
    if (--spotter->missing_frames > 0) continue;
    if (spotter->moved_frames < KWS_FRAMES) {
      kws_model_slide(spotter->window, spotter->moved_frames, prediction->scores, &spotter->workspace);
    } else {
      kws_model_invoke(spotter->window, prediction->scores, &spotter->workspace);
    }
    spotter->missing_frames = spotter->moved_frames = spotter->hop_frames;
    prediction->label = index_of_largest(prediction->scores);
    prediction->sample = spotter->samples_heard;
    return true;
  }
  return false;
}

void kws_spotter_invoke(kws_spotter* spotter, int8_t* scores) {
  kws_model_invoke(spotter->window, scores, &spotter->workspace);
  spotter->moved_frames = KWS_FRAMES;  // what the workspace holds is no longer of the last prediction
}
