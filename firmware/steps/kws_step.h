// Kernels between the plain C and the fast one, one idea each: the ladder of nbs/studies/ladder.ipynb. No image that
// ships has them.
#ifndef KWS_STEP_H_
#define KWS_STEP_H_

#include <stdint.h>

#include "kws_nn.h"

// A convolution with 1 input channel, a kernel 8 wide and stride 2 across, its output width a multiple of 4.
enum { KWS_STEP_WORDS = 4 };  // of two taps each, in a row of the kernel

typedef struct {
  kws_conv2d conv;        // without weights; of kws_step_rounded, bias and multiplier are those of the single rounding
  const uint32_t* pairs;  // [output_channels][kernel_height][4]: two taps of 16 bits in a word, the left one low
  const int32_t* addend;  // [output_channels], of kws_step_rounded: q = (sum * multiplier + (addend << 32)) >> 39
} kws_step;

// Plain C, one product after the other; but where the edge is, is asked once for an output and not at every tap.
void kws_step_loops_s8(const kws_conv2d* layer, const int8_t* input, int8_t* output);

// scratch of the others: [input_height][2 * output_width + 6].

// Two products in one SMLAD, one output after the other.
void kws_step_pairs_s8(const kws_step* layer, const int8_t* input, int8_t* output, int16_t* scratch);

// Four neighbouring outputs at a time: what is loaded for one serves its neighbours.
void kws_step_blocked_s8(const kws_step* layer, const int8_t* input, int8_t* output, int16_t* scratch);

// The same, requantised by SMMLA and SSAT.
void kws_step_rounded_s8(const kws_step* layer, const int8_t* input, int8_t* output, int16_t* scratch);

#endif
