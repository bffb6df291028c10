// The network as a filter: int8 windows in, int8 scores out, each run twice with one workspace.
#include <stdio.h>
#include <string.h>

#include "kws_config.h"
#include "kws_model.h"

int main(void) {
  static kws_model_workspace workspace;
  static _Alignas(4) int8_t window[KWS_FRAMES * KWS_CHANNELS];
  _Alignas(4) int8_t scores[KWS_LABELS];
  _Alignas(4) int8_t again[KWS_LABELS];
  while (fread(window, sizeof window, 1, stdin) == 1) {
    kws_model_invoke(window, scores, &workspace);
    kws_model_invoke(window, again, &workspace);
    if (memcmp(scores, again, sizeof scores) != 0) return 1;
    fwrite(scores, sizeof scores, 1, stdout);
  }
  return 0;
}
