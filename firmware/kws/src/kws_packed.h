// Weights of 4 or 2 bits as a .tflite stores them: two or four to a byte, the first in the lowest bits, with a sign.
#ifndef KWS_PACKED_H_
#define KWS_PACKED_H_

#include <stdint.h>

// bits: 4 or 2.
static inline int32_t kws_packed_weight(const uint8_t* packed_weights, int32_t i, int bits) {
  const int32_t at = i * bits;
  const int32_t high = 1 << (bits - 1);
  const int32_t code = packed_weights[at / 8] >> (at % 8) & ((1 << bits) - 1);
  return (code ^ high) - high;
}

#endif
