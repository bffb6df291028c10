#include "kws_cpu.h"
#include "kws_math.h"
#include "kws_nn.h"

#if KWS_DSP

typedef void (*dot4)(const int8_t* input, const uint32_t* packed_weights, int32_t n, int32_t* sums);

// n: what `dot` calls the number of inputs.
static inline void connect(const kws_fully_connected_dot4* l, dot4 dot, int32_t n, int32_t group_words,
                           const int8_t* input, int8_t* output) {
  const uint32_t* group = l->packed_weights;
  int32_t sums[4];
  for (int32_t o = 0; o < l->outputs; ++o) {
    if (o % 4 == 0) {
      dot(input, group, n, sums);
      group += group_words;
    }
    const int32_t q = kws_requantize(sums[o % 4] + l->bias[o], l->multiplier[o], l->shift[o]) + l->output_offset;
    output[o] = (int8_t)kws_clamp(q, l->activation_min, l->activation_max);
  }
}

void kws_fully_connected_dot4_w4_s8(const kws_fully_connected_dot4* l, const int8_t* input, int8_t* output) {
  connect(l, kws_dot4_w4_s8, l->inputs / 8, l->inputs / 2, input, output);
}

void kws_fully_connected_dot4_w2_s8(const kws_fully_connected_dot4* l, const int8_t* input, int8_t* output) {
  const int32_t n_words = l->inputs / 4, blocks = (n_words + KWS_DOT4_W2_BLOCK_WORDS - 1) / KWS_DOT4_W2_BLOCK_WORDS;
  connect(l, kws_dot4_w2_s8, n_words, (blocks + 3) / 4 * 3 + blocks * KWS_DOT4_W2_BLOCK_WORDS, input, output);
}

#endif
