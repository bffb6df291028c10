#include "kws_sparse.h"

void kws_fully_connected_two_of_four_s8(const kws_fully_connected_sparse* l, const int8_t* input, int8_t* output) {
  const uint32_t* packed = l->packed_weights;
  for (int32_t o = 0; o < l->outputs; ++o) {
    const int8_t* x = input;
    int32_t sum = 0;
    for (const uint32_t* const end = packed + 5 * l->counts[o]; packed < end; packed += 5) {
      uint32_t places = packed[0];
      for (int word = 1; word < 5; ++word, x += 8, places >>= 8) {
        const uint32_t weights = packed[word];
        sum += x[places & 3] * kws_signed_byte(weights, 0);
        sum += x[places >> 2 & 3] * kws_signed_byte(weights, 1);
        sum += x[4 + (places >> 4 & 3)] * kws_signed_byte(weights, 2);
        sum += x[4 + (places >> 6 & 3)] * kws_signed_byte(weights, 3);
      }
    }
    output[o] = kws_sparse_output(l, o, sum);
  }
}
