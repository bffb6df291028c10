#include "kws_bench.h"

#include <stddef.h>

#include "kws_cpu.h"

enum { CHUNK_SAMPLES = 160 };

typedef struct {
  uint32_t us, cycles;
} instant;

// The mean is kept as a whole number and a rest over the number of runs, so 32 bits are enough.
typedef struct {
  uint32_t min, max, mean, rest;
} tally;

KWS_SMALL static instant now(const kws_clock* clock) {
  return (instant){.us = clock->now_us(clock->context), .cycles = clock->now_cycles(clock->context)};
}

KWS_SMALL static void add_since(instant* spent, instant start, instant end) {
  spent->us += end.us - start.us;
  spent->cycles += end.cycles - start.cycles;
}

KWS_SMALL static void add_value(tally* t, uint32_t value, uint32_t runs) {
  if (value < t->min) t->min = value;
  if (value > t->max) t->max = value;
  t->mean += value / runs;
  t->rest += value % runs;
  if (t->rest >= runs) {
    t->mean += 1;
    t->rest -= runs;
  }
}

static kws_spread spread_of(const tally* t, uint32_t runs) {
  return (kws_spread){.min = t->min, .max = t->max, .mean = t->mean + (t->rest >= runs - t->rest ? 1 : 0)};
}

// White noise of a quarter of full scale, the same in every bench.
KWS_SMALL static void make_noise(uint32_t* state, int16_t* samples) {
  for (int i = 0; i < CHUNK_SAMPLES; ++i) {
    *state = *state * 1664525u + 1013904223u;
    samples[i] = (int16_t)((int32_t)(*state >> 18) - 8192);
  }
}

KWS_SMALL static instant time_preprocessing(kws_spotter* spotter, const kws_clock* clock, uint32_t* noise) {
  instant spent = {0};
  int16_t samples[CHUNK_SAMPLES];
  uint16_t features[KWS_CHANNELS];
  volatile int8_t code; // what is computed for its time only must not be optimised away
  for (uint32_t at = 0; at < (uint32_t)spotter->hop_frames * KWS_STEP_SAMPLES; at += CHUNK_SAMPLES) {
    make_noise(noise, samples);
    const instant start = now(clock);
    for (size_t used = 0, consumed = 0; used < CHUNK_SAMPLES; used += consumed)
      if (kws_frontend_process(&spotter->frontend, samples + used, CHUNK_SAMPLES - used, &consumed, features))
        for (int i = 0; i < KWS_CHANNELS; ++i) code = kws_quantize_feature(features[i]);
    add_since(&spent, start, now(clock));
  }
  (void)code;
  return spent;
}

KWS_SMALL static instant time_inference(kws_spotter* spotter, const kws_clock* clock, int8_t* scores) {
  instant spent = {0};
  const instant start = now(clock);
  kws_spotter_invoke(spotter, scores);
  add_since(&spent, start, now(clock));
  return spent;
}

KWS_SMALL static instant time_postprocessing(kws_recognizer* recognizer, const kws_clock* clock,
                                             const kws_prediction* p) {
  instant spent = {0};
  kws_detection detection;
  const instant start = now(clock);
  (void)kws_recognizer_process(recognizer, p, &detection);
  add_since(&spent, start, now(clock));
  return spent;
}

KWS_SMALL kws_status kws_bench_run(kws_spotter* spotter, kws_recognizer* recognizer, const kws_clock* clock,
                                   uint32_t runs, kws_stage_times times[KWS_STAGES], int8_t* scores) {
  if (runs == 0 || runs > UINT16_MAX) return KWS_BAD_ARGUMENT;
  tally us[KWS_STAGES], cycles[KWS_STAGES];
  for (int stage = 0; stage < KWS_STAGES; ++stage) us[stage] = cycles[stage] = (tally){.min = UINT32_MAX};
  kws_prediction prediction = {0};
  uint32_t noise = 1;
  kws_recognizer_reset(recognizer);

  for (uint32_t run = 0; run < runs; ++run) {
    instant spent[KWS_STAGES];
    spent[KWS_PREPROCESSING] = time_preprocessing(spotter, clock, &noise);
    spent[KWS_INFERENCE] = time_inference(spotter, clock, scores);
    for (int i = 0; i < KWS_LABELS; ++i) prediction.scores[i] = scores[i];
    prediction.sample += (uint32_t)spotter->hop_frames * KWS_STEP_SAMPLES;
    spent[KWS_POSTPROCESSING] = time_postprocessing(recognizer, clock, &prediction);
    for (int stage = 0; stage < KWS_STAGES; ++stage) {
      add_value(&us[stage], spent[stage].us, runs);
      add_value(&cycles[stage], spent[stage].cycles, runs);
    }
  }
  for (int stage = 0; stage < KWS_STAGES; ++stage)
    times[stage] = (kws_stage_times){.us = spread_of(&us[stage], runs), .cycles = spread_of(&cycles[stage], runs)};
  return KWS_OK;
}
