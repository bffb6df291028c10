#include "kws_cpu.h"
#include "kws_math.h"
#include "kws_nn.h"

#if KWS_DSP

void kws_fully_connected_dot4_s8(const kws_fully_connected_dot4* l, const int8_t* input, int8_t* output) {
  const kws_narrow_outputs outputs = {l->bias,          l->multiplier,     l->shift,
                                      l->output_offset, l->activation_min, l->activation_max};
  const uint32_t* group = l->packed_weights;
  int32_t sums[4];
  for (int32_t o = 0; o < l->outputs; ++o) {
    if (o % 4 == 0) {
      kws_dot4_s8(input, group, l->inputs / 4, sums);
      group += 4 + l->inputs;
    }
    output[o] = kws_narrow_output(outputs, o, sums[o % 4]);
  }
}

#endif
