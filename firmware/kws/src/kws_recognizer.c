#include "kws_recognizer.h"

#include <stddef.h>

enum { SAMPLES_PER_MS = KWS_SAMPLE_RATE / 1000, SILENCE = 0 };

static void drop_oldest(kws_recognizer* r) {
  const kws_recognizer_result* oldest = &r->results[r->first];
  for (int i = 0; i < KWS_LABELS; ++i) r->sums[i] = (uint16_t)(r->sums[i] - oldest->scores[i]);
  r->first = (uint8_t)((r->first + 1) % KWS_RECOGNIZER_RESULTS);
  r->count -= 1;
}

static void append(kws_recognizer* r, const kws_prediction* prediction) {
  if (r->count == KWS_RECOGNIZER_RESULTS) drop_oldest(r);
  kws_recognizer_result* newest = &r->results[(r->first + r->count) % KWS_RECOGNIZER_RESULTS];
  newest->sample = prediction->sample;
  for (int i = 0; i < KWS_LABELS; ++i) {
    newest->scores[i] = (uint8_t)(prediction->scores[i] + 128);
    r->sums[i] = (uint16_t)(r->sums[i] + newest->scores[i]);
  }
  r->count += 1;
}

// How long ago a sample was. The count of samples wraps after 74 hours, and the difference survives that.
static uint32_t age_samples(uint32_t now, uint32_t then) { return now - then; }

static bool trusted(const kws_recognizer* r, uint32_t now) {
  const uint32_t quarter_samples = (uint32_t)(r->settings.window_ms / 4) * SAMPLES_PER_MS;
  return r->count >= r->settings.minimum_count && age_samples(now, r->results[r->first].sample) >= quarter_samples;
}

// The same word again is news only when it is not the echo of the last detection.
static bool suppressed(const kws_recognizer* r, uint8_t label, uint32_t now) {
  const kws_detection* last = &r->last;
  return label == last->label && label != SILENCE &&
         age_samples(now, last->sample) <= (uint32_t)r->settings.suppression_ms * SAMPLES_PER_MS;
}

kws_status kws_recognizer_init(kws_recognizer* recognizer) {
  if (!recognizer) return KWS_BAD_ARGUMENT;
  recognizer->settings = (kws_recognizer_settings){
      .window_ms = KWS_RECOGNIZER_WINDOW_MS,
      .suppression_ms = KWS_RECOGNIZER_SUPPRESSION_MS,
      .threshold = KWS_RECOGNIZER_THRESHOLD,
      .minimum_count = KWS_RECOGNIZER_MINIMUM_COUNT,
  };
  kws_recognizer_reset(recognizer);
  return KWS_OK;
}

kws_status kws_recognizer_configure(kws_recognizer* recognizer, const kws_recognizer_settings* settings) {
  if (!recognizer || !settings || settings->window_ms == 0) return KWS_BAD_ARGUMENT;
  if (settings->minimum_count == 0 || settings->minimum_count > KWS_RECOGNIZER_RESULTS) return KWS_BAD_ARGUMENT;
  recognizer->settings = *settings;
  return KWS_OK;
}

void kws_recognizer_reset(kws_recognizer* recognizer) {
  recognizer->first = 0;
  recognizer->count = 0;
  recognizer->last = (kws_detection){.label = SILENCE};
  for (int i = 0; i < KWS_LABELS; ++i) recognizer->sums[i] = 0;
}

bool kws_recognizer_process(kws_recognizer* recognizer, const kws_prediction* prediction, kws_detection* detection) {
  kws_recognizer* r = recognizer;
  const uint32_t now = prediction->sample, window_samples = (uint32_t)r->settings.window_ms * SAMPLES_PER_MS;
  append(r, prediction);
  while (age_samples(now, r->results[r->first].sample) > window_samples) drop_oldest(r);
  if (!trusted(r, now)) return false;

  uint8_t top = 0;
  for (uint8_t i = 1; i < KWS_LABELS; ++i)
    if (r->sums[i] / r->count > r->sums[top] / r->count) top = i;
  const uint8_t score = (uint8_t)(r->sums[top] / r->count);
  if (score <= r->settings.threshold || suppressed(r, top, now)) return false;

  r->last = (kws_detection){.sample = now, .label = top, .score = score};
  if (top == SILENCE) return false;
  *detection = r->last;
  return true;
}
