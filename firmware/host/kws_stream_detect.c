#include "kws_recognizer.h"
#include "kws_stream.h"

static int start(kws_recognizer* recognizer, const kws_recognizer_settings* settings) {
  return kws_recognizer_init(recognizer) == KWS_OK && kws_recognizer_configure(recognizer, settings) == KWS_OK;
}

static kws_prediction prediction_of(uint32_t sample, const int8_t* scores) {
  kws_prediction prediction = {.sample = sample};
  for (int j = 0; j < KWS_LABELS; ++j) prediction.scores[j] = scores[j];
  return prediction;
}

int kws_stream_detect(const uint32_t* at, const int8_t* scores, size_t n, uint16_t window_ms, uint16_t suppression_ms,
                      uint8_t threshold, uint8_t minimum_count, uint32_t* detected) {
  const kws_recognizer_settings settings = {window_ms, suppression_ms, threshold, minimum_count};
  kws_recognizer recognizer;
  kws_detection detection;
  int found = 0;
  if (!start(&recognizer, &settings)) return -1;
  for (size_t i = 0; i < n; ++i, scores += KWS_LABELS) {
    const kws_prediction prediction = prediction_of(at[i], scores);
    if (!kws_recognizer_process(&recognizer, &prediction, &detection)) continue;
    *detected++ = detection.sample;
    *detected++ = detection.label;
    *detected++ = detection.score;
    ++found;
  }
  return found;
}

// With a threshold of 0 and no suppression, whatever is trusted is detected: that tells which averages are.
int kws_stream_average(const uint32_t* at, const int8_t* scores, size_t n, uint16_t window_ms, uint8_t minimum_count,
                       int16_t* averages) {
  const kws_recognizer_settings settings = {window_ms, 0, 0, minimum_count};
  kws_recognizer recognizer;
  kws_detection detection;
  if (!start(&recognizer, &settings)) return -1;
  for (size_t i = 0; i < n; ++i, scores += KWS_LABELS) {
    const kws_prediction prediction = prediction_of(at[i], scores);
    kws_recognizer_process(&recognizer, &prediction, &detection);
    const int trusted = recognizer.last.sample == at[i];
    for (int j = 0; j < KWS_LABELS; ++j)
      *averages++ = (int16_t)(trusted ? recognizer.sums[j] / recognizer.count : -1);
  }
  return 0;
}
