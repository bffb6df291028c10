#include "kws_sparse.h"

void kws_fully_connected_bitmap_s8(const kws_fully_connected_sparse* l, const int8_t* input, int8_t* output) {
  const uint32_t* packed = l->packed_weights;
  for (int32_t o = 0; o < l->outputs; ++o) {
    const uint32_t* const bits_end = packed + l->counts[o];
    const int8_t* weight = (const int8_t*)(const void*)bits_end;
    const int8_t* x = input;
    int32_t sum = 0;
    for (; packed < bits_end; ++packed, x += 32) {
      for (uint32_t bits = *packed; bits;) {
        const int i = __builtin_clz(bits);
        bits &= ~(0x80000000u >> i);
        sum += x[i] * *weight++;
      }
    }
    packed += (weight - (const int8_t*)(const void*)bits_end + 3) / 4;
    output[o] = kws_sparse_output(l, o, sum);
  }
}
