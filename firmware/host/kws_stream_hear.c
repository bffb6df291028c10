#include "kws_spotter.h"
#include "kws_stream.h"

int kws_stream_hear(const int16_t* samples, size_t n_streams, size_t n_samples, uint16_t hop_frames, uint32_t* at,
                    int8_t* scores) {
  kws_spotter spotter;
  kws_prediction prediction;
  if (kws_spotter_init(&spotter, hop_frames) != KWS_OK) return -1;
  for (size_t i = 0; i < n_streams; ++i, samples += n_samples) {
    size_t taken = 0, k = 0;
    kws_spotter_reset(&spotter);
    for (size_t now = 0; now < n_samples; now += taken) {
      if (!kws_spotter_process(&spotter, samples + now, n_samples - now, &taken, &prediction)) continue;
      at[k++] = prediction.sample;
      for (int j = 0; j < KWS_LABELS; ++j) *scores++ = prediction.scores[j];
    }
  }
  return KWS_LABELS;
}
