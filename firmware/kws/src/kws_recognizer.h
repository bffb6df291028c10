// From predictions to detections: scores are averaged over a moving window, and a word is reported once.
//
// The rules are those of TensorFlow Lite Micro's RecognizeCommands. A label is detected when the average of its scores
// over the last `window_ms` exceeds `threshold`, and it is another label than the last one detected, or that one lies
// more than `suppression_ms` back. Averages of fewer than `minimum_count` predictions, or of less than a quarter of the
// window, are not trusted. _silence_ is detected by the same rules and lets the same word through again; but nothing is
// reported for it (TensorFlow's class reports it again and again).
#ifndef KWS_RECOGNIZER_H_
#define KWS_RECOGNIZER_H_

#include <stdbool.h>
#include <stdint.h>

#include "kws_config.h"
#include "kws_model.h"
#include "kws_spotter.h"
#include "kws_status.h"

typedef struct {
  uint16_t window_ms;       // predictions that old still count, 1..65535; the last KWS_RECOGNIZER_RESULTS at most
  uint16_t suppression_ms;  // 0..65535
  uint8_t threshold;        // average score that must be exceeded, 0..255
  uint8_t minimum_count;    // 1..KWS_RECOGNIZER_RESULTS
} kws_recognizer_settings;

typedef struct {
  uint32_t sample;  // when it was detected: samples heard
  uint8_t label;    // 0..KWS_LABELS - 1
  uint8_t score;    // average probability * 256, 0..255
} kws_detection;

typedef struct {
  uint32_t sample;
  uint8_t scores[KWS_LABELS];  // probability * 256
} kws_recognizer_result;

typedef struct {
  kws_recognizer_settings settings;
  kws_recognizer_result results[KWS_RECOGNIZER_RESULTS];  // a ring
  uint8_t first;                // index of the oldest result
  uint8_t count;
  uint16_t sums[KWS_LABELS];    // of the scores in the ring
  kws_detection last;           // the last one, _silence_ included; at the start: _silence_
} kws_recognizer;

// Sets the model's rule (kws_model.h) and forgets everything.
kws_status kws_recognizer_init(kws_recognizer* recognizer);

// Changes the settings; what was heard is kept. KWS_BAD_ARGUMENT, and no change, when one is out of its range.
kws_status kws_recognizer_configure(kws_recognizer* recognizer, const kws_recognizer_settings* settings);

// Forgets the predictions and detections so far; the settings stay.
void kws_recognizer_reset(kws_recognizer* recognizer);

// Takes the next prediction; its sample must not lie before the last one's. True when *detection was written.
bool kws_recognizer_process(kws_recognizer* recognizer, const kws_prediction* prediction, kws_detection* detection);

#endif
