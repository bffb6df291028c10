#include "kws_sparse.h"

static int32_t multiply_groups(const int8_t* x, const uint32_t* packed, int32_t n_groups) {
#if KWS_DSP
  return kws_csr_s8(x, packed, n_groups);
#else
  int32_t sum = 0;
  for (; n_groups > 0; --n_groups, packed += 2) {
    for (int i = 0; i < 4; ++i) {
      x += kws_byte(packed[0], i);
      sum += *x * kws_signed_byte(packed[1], i);
    }
  }
  return sum;
#endif
}

void kws_fully_connected_csr_s8(const kws_fully_connected_sparse* l, const int8_t* input, int8_t* output) {
  const uint32_t* packed = l->packed_weights;
  for (int32_t o = 0; o < l->outputs; ++o) {
    output[o] = kws_sparse_output(l, o, multiply_groups(input, packed, l->counts[o]));
    packed += 2 * l->counts[o];
  }
}
