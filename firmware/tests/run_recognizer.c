// The recognizer as a filter: `SAMPLE CODE CODE CODE CODE` a line in, `SAMPLE LABEL SCORE` a line out for a detection.
// A line `set WINDOW_MS SUPPRESSION_MS THRESHOLD MINIMUM_COUNT` changes the settings (out: the status, when refused),
// `reset` forgets.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kws_recognizer.h"

int main(void) {
  kws_recognizer recognizer;
  char line[200];
  if (kws_recognizer_init(&recognizer) != KWS_OK) return 1;
  if (kws_recognizer_init(NULL) != KWS_BAD_ARGUMENT) return 1;
  if (kws_recognizer_configure(&recognizer, NULL) != KWS_BAD_ARGUMENT) return 1;
  while (fgets(line, sizeof line, stdin)) {
    unsigned window_ms, suppression_ms, threshold, minimum_count;
    if (sscanf(line, "set %u %u %u %u", &window_ms, &suppression_ms, &threshold, &minimum_count) == 4) {
      const kws_recognizer_settings settings = {.window_ms = (uint16_t)window_ms,
                                                .suppression_ms = (uint16_t)suppression_ms,
                                                .threshold = (uint8_t)threshold,
                                                .minimum_count = (uint8_t)minimum_count};
      if (kws_recognizer_configure(&recognizer, &settings) != KWS_OK) puts("refused");
      continue;
    }
    if (strcmp(line, "reset\n") == 0) {
      kws_recognizer_reset(&recognizer);
      continue;
    }
    kws_prediction prediction = {0};
    kws_detection detection;
    int c[KWS_LABELS] = {0};
    if (sscanf(line, "%" SCNu32 " %d %d %d %d", &prediction.sample, &c[0], &c[1], &c[2], &c[3]) != 5) return 1;
    for (int i = 0; i < KWS_LABELS; ++i) prediction.scores[i] = (int8_t)c[i];
    if (kws_recognizer_process(&recognizer, &prediction, &detection))
      printf("%" PRIu32 " %u %u\n", detection.sample, detection.label, detection.score);
  }
  return 0;
}
