// How long each stage takes on this board, hop after hop, by the board's own clocks.
#ifndef KWS_BENCH_H_
#define KWS_BENCH_H_

#include <stdint.h>

#include "kws_recognizer.h"
#include "kws_spotter.h"
#include "kws_status.h"

// The clocks count up and wrap at 2^32. A board without a cycle counter answers 0.
typedef struct {
  uint32_t (*now_us)(void* context);
  uint32_t (*now_cycles)(void* context);
  void* context;
} kws_clock;

typedef struct {
  uint32_t min, max, mean;
} kws_spread;

typedef struct {
  kws_spread us, cycles;
} kws_stage_times;

typedef enum {
  KWS_PREPROCESSING,   // the front end over the audio of one hop, quantised
  KWS_INFERENCE,       // the network over the whole window
  KWS_POSTPROCESSING,  // the recognizer
  KWS_STAGES
} kws_stage;

// Runs every stage `runs` times (1..65535): noise through the front end, the network on the spotter's present window.
// The spotter and the recognizer have to be reset afterwards. scores[KWS_LABELS] are those of the window.
kws_status kws_bench_run(kws_spotter* spotter, kws_recognizer* recognizer, const kws_clock* clock, uint32_t runs,
                         kws_stage_times times[KWS_STAGES], int8_t* scores);

#endif
