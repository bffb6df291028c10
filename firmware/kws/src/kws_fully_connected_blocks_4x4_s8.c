#include "kws_sparse.h"

#if !KWS_DSP
// A word as kws_dot4_s8 has it: halves 256 b + a. The starting values are that function's own.
static inline int32_t multiply_half(const int8_t* x, uint32_t half) {
  const int32_t a = (int8_t)half, b = ((int16_t)half - a) / 256;
  return x[0] * a + x[1] * b;
}
#endif

static void multiply_groups(const int8_t* at, const uint32_t* packed, int32_t n_groups, int32_t* sums) {
#if KWS_DSP
  kws_dot4_blocks_s8(at, packed, n_groups, sums);
#else
  for (int o = 0; o < 4; ++o) sums[o] = 0;
  packed += 4;
  for (; n_groups > 0; --n_groups, packed += 17) {
    for (int i = 0; i < 4; ++i) {
      at += 4 * kws_byte(packed[0], i);
      for (int o = 0; o < 4; ++o) {
        const uint32_t word = packed[1 + 4 * i + o];
        sums[o] += multiply_half(at, word) + multiply_half(at + 2, word >> 16);
      }
    }
  }
#endif
}

void kws_fully_connected_blocks_4x4_s8(const kws_fully_connected_sparse* l, const int8_t* input, int8_t* output) {
  const uint32_t* packed = l->packed_weights;
  int32_t sums[4];
  for (int32_t o = 0; o < l->outputs; ++o) {
    if (o % 4 == 0) {
      multiply_groups(input, packed, l->counts[o / 4], sums);
      packed += 4 + 17 * l->counts[o / 4];
    }
    output[o] = kws_sparse_output(l, o, sums[o % 4]);
  }
}
