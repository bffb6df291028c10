#include "kws_math.h"
#include "kws_nn.h"

void kws_mean_s8(const kws_mean* l, const int8_t* input, int8_t* output) {
  for (int32_t c = 0; c < l->channels; ++c) {
    int32_t sum = l->sum_offset;
    for (int32_t i = 0; i < l->positions; ++i) sum += input[i * l->channels + c];
    const int32_t q = kws_requantize(sum, l->multiplier, l->shift) + l->output_offset;
    output[c] = (int8_t)kws_clamp(q, INT8_MIN, INT8_MAX);
  }
}
