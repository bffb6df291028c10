#include "kws_math.h"
#include "kws_nn.h"
#include "kws_packed.h"

void kws_fully_connected_packed_s8(const kws_fully_connected_packed* l, const int8_t* input, int8_t* output) {
  int32_t at = 0;
  for (int32_t o = 0; o < l->outputs; ++o) {
    int32_t sum = l->bias[o];
    for (int32_t i = 0; i < l->inputs; ++i, ++at)
      sum += (input[i] + l->input_offset) * kws_packed_weight(l->packed_weights, at, l->weight_bits);
    const int32_t q = kws_requantize(sum, l->multiplier[o], l->shift[o]) + l->output_offset;
    output[o] = (int8_t)kws_clamp(q, l->activation_min, l->activation_max);
  }
}
