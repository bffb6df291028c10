// kws_sqrt64 by the Cortex-M4's FPU.
#ifndef KWS_ROOT_DSP_H_
#define KWS_ROOT_DSP_H_

#include <stdbool.h>
#include <stdint.h>

#include "kws_dsp.h"

// From a root that is nearly right to the nearest one, and kws_sqrt64's exception.
__attribute__((noinline)) static uint32_t kws_correct_root(int32_t root, int32_t remainder) {
  while (remainder > root) remainder -= 2 * root++ + 1;
  while (remainder < 0 && remainder <= -root) remainder += 2 * root-- - 1;
  return root == 0x10000 && remainder < 0 ? 0xFFFF : (uint32_t)root;
}

// kws_sqrt64(x) for x < 2^48. The FPU's root is off by a few at most, so the remainder fits 32 bits and tells the rest:
// the root is the nearest integer when -root < remainder <= root.
static inline uint32_t kws_nearest_root(kws_long x) {
  const float all = kws_multiply_add_float((float)x.low, (float)x.high, 4294967296.0f);
  const int32_t root = kws_sqrt_float(all);
  const int32_t remainder = (int32_t)(x.low - (uint32_t)root * (uint32_t)root);
  const bool nearest = (uint32_t)(remainder + root - 1) < 2 * (uint32_t)root;
  return __builtin_expect(nearest && root != 0x10000, 1) ? (uint32_t)root : kws_correct_root(root, remainder);
}

#endif
