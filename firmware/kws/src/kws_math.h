// Small integer functions that several parts of the core share.
#ifndef KWS_MATH_H_
#define KWS_MATH_H_

#include <stdint.h>
#if defined(__x86_64__) || defined(__aarch64__)
#include <math.h>
#endif

#include "kws_cpu.h"

// How many bits x needs: 0 for 0, 1 for 1, 2 for 2 and 3, ... 32.
static inline int kws_bit_length32(uint32_t x) { return x ? 32 - __builtin_clz(x) : 0; }

// The square root, rounded to the nearest integer but never above 2^32 - 1; digit by digit.
static inline uint32_t kws_sqrt64_digits(uint64_t x) {
  uint64_t root = 0;
  uint64_t bit = (uint64_t)1 << 62;
  while (bit > x) bit >>= 2;
  for (; bit; bit >>= 2) {
    if (x >= root + bit) {
      x -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
  }
  // One exception is inherited: a root of 0xFFFF from a number of 32 bits is not rounded up.
  return (uint32_t)(x > root && root != 0xFFFF && root != 0xFFFFFFFFu ? root + 1 : root);
}

// The same, at once where the machine takes roots of doubles: below 2^52 a double holds x, and rounding to 53 bits
// lifts no root to the next whole number.
static inline uint32_t kws_sqrt64(uint64_t x) {
#if defined(__x86_64__) || defined(__aarch64__)
  if (x >> 52 == 0) {
    const uint32_t root = (uint32_t)(int64_t)sqrt((double)(int64_t)x);
    return root + (x - (uint64_t)root * root > root && root != 0xFFFF);
  }
#endif
  return kws_sqrt64_digits(x);
}

// --- fixed point, as gemmlowp and TFLite define it (https://github.com/google/gemmlowp) ------------------------------

// a * b * 2 / 2^32, rounded; the one product that does not fit, (-2^31)^2, saturates. gemmlowp adds 2^30, or 1 - 2^30
// to a negative product, and divides towards zero: the same as adding 2^30 and rounding down.
static inline int32_t kws_doubling_high_mul(int32_t a, int32_t b) {
  if (a == b && a == INT32_MIN) return INT32_MAX;
  return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

// x / 2^exponent, half away from zero. exponent: 0..31.
static inline int32_t kws_rounding_shift_right(int32_t x, int exponent) {
  const int32_t mask = (int32_t)(((int64_t)1 << exponent) - 1);
  const int32_t remainder = x & mask;
  const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

// x * 2^exponent, saturated. exponent: 1..30.
static inline int32_t kws_saturating_shift_left(int32_t x, int exponent) {
  const int64_t shifted = (int64_t)x * ((int64_t)1 << exponent);
  return shifted > INT32_MAX ? INT32_MAX : shifted < INT32_MIN ? INT32_MIN : (int32_t)shifted;
}

// x * multiplier / 2^31 * 2^shift: TFLite's requantisation. shift: -31..30; x << shift must fit 32 bits.
static inline int32_t kws_requantize(int32_t x, int32_t multiplier, int shift) {
  const int left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
  return kws_rounding_shift_right(kws_doubling_high_mul((int32_t)((uint32_t)x << left), multiplier), right);
}

#if KWS_DSP
// kws_requantize for |x| < 2^30 and shift -31..-1: the high word of 2x * multiplier, rounded, is kws_doubling_high_mul.
static inline int32_t kws_requantize_narrow(int32_t x, int32_t multiplier, int shift) {
  int32_t high;
  __asm("smmulr %0, %1, %2" : "=r"(high) : "r"(x * 2), "r"(multiplier));
  return (high + (high >> 31) + ((int32_t)1 << (-shift - 1))) >> -shift;
}

// What turns sums into int8 outputs, copied from a layer: a store through int8_t* may change any memory, so that the
// compiler would load a layer's fields again after every output.
typedef struct {
  const int32_t *bias, *multiplier;
  const int8_t* shift;
  int32_t offset, low, high;
} kws_narrow_outputs;

static inline int8_t kws_narrow_output(kws_narrow_outputs o, int channel, int32_t sum) {
  const int32_t q = kws_requantize_narrow(sum + o.bias[channel], o.multiplier[channel], o.shift[channel]) + o.offset;
  return (int8_t)(q < o.low ? o.low : q > o.high ? o.high : q);
}
#endif

static inline int32_t kws_clamp(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }

#endif
