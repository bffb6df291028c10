// The keyword spotter: a stream of samples in, a prediction every few frames out.
//
// It keeps the last KWS_FRAMES rows of features, already quantised to the network's input, and runs the model (the
// generated kws_model.h) when the window is full and then every `hop_frames` frames, when the model computes again only
// what has changed: the bytes are those of a run on the whole window.
#ifndef KWS_SPOTTER_H_
#define KWS_SPOTTER_H_

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kws_config.h"
#include "kws_frontend.h"
#include "kws_model.h"
#include "kws_status.h"

typedef struct {
  uint32_t sample;                 // how many samples had been heard when the window ended
  uint8_t label;                   // index of the highest score, 0..KWS_LABELS - 1
  int8_t scores[KWS_LABELS];       // probability * 256 - 128
} kws_prediction;

typedef struct {
  kws_frontend frontend;
  kws_model_workspace workspace;
  alignas(4) int8_t window[KWS_FRAMES * KWS_CHANNELS];   // quantised features, oldest row first
  uint16_t hop_frames;                                   // rows between two predictions, 1..65535
  uint16_t missing_frames;                               // rows until the next prediction
  uint16_t moved_frames;                                 // how far the window will have moved then; KWS_FRAMES: all new
  uint32_t samples_heard;
} kws_spotter;

kws_status kws_spotter_init(kws_spotter* spotter, uint16_t hop_frames);

// Forgets everything heard: the next prediction comes after KWS_FRAMES frames.
void kws_spotter_reset(kws_spotter* spotter);

// Takes samples until a prediction is due or they run out, and says in *consumed how many it took: call it again with
// the rest. True when *prediction was written.
bool kws_spotter_process(kws_spotter* spotter, const int16_t* samples, size_t n_samples, size_t* consumed,
                         kws_prediction* prediction);

// Runs the model on the window as it stands, whatever it holds.
void kws_spotter_invoke(kws_spotter* spotter, int8_t* scores);

// The network's input code for one feature.
int8_t kws_quantize_feature(uint16_t feature);

#endif
