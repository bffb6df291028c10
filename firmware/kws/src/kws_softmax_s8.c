#include "kws_math.h"
#include "kws_nn.h"

// A comment such as Q5.26 gives the format of a number: 5 integer bits, 26 fractional ones.

// e^x for x in (-1/4, 0], Q0.31: the Taylor series around -1/8, to the fourth power.
static int32_t exp_small(int32_t x) {
  const int32_t exp_minus_eighth = 1895147668, third = 715827883;
  x += 1 << 28;
  const int32_t x2 = kws_doubling_high_mul(x, x);
  const int32_t x3 = kws_doubling_high_mul(x2, x);
  const int32_t x4_4 = kws_rounding_shift_right(kws_doubling_high_mul(x2, x2), 2);
  const int32_t tail = kws_rounding_shift_right(kws_doubling_high_mul(x4_4 + x3, third) + x2, 1);
  return exp_minus_eighth + kws_doubling_high_mul(exp_minus_eighth, x + tail);
}

// e^x for x <= 0 in Q5.26, result in Q0.31: the part below a quarter by the series, then a product for each set bit.
static int32_t exp_negative(int32_t x) {
  static const int32_t factors[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
  if (x == 0) return INT32_MAX;
  const int32_t quarter = 1 << 24;
  const int32_t low = (x & (quarter - 1)) - quarter;
  int32_t y = exp_small(low * 32);
  const int32_t rest = low - x;
  for (int bit = 0; bit < 7; ++bit)
    if (rest & (quarter << bit)) y = kws_doubling_high_mul(y, factors[bit]);
  return y;
}

// 1 / (1 + x) for x in [0, 1), Q0.31: three steps of Newton's method from 48/17 - 32/17 * (1 + x) / 2.
static int32_t reciprocal_of_one_plus(int32_t x) {
  const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
  int32_t y = 1515870810 + kws_doubling_high_mul(half, -1010580540);  // Q2.29
  for (int i = 0; i < 3; ++i) {
    const int32_t error = (1 << 29) - kws_doubling_high_mul(half, y);
    y += kws_saturating_shift_left(kws_doubling_high_mul(y, error), 2);
  }
  return kws_saturating_shift_left(y, 1);
}

void kws_softmax_s8(const kws_softmax* l, const int8_t* input, int8_t* output) {
  int32_t largest = INT8_MIN;
  for (int32_t i = 0; i < l->size; ++i)
    if (input[i] > largest) largest = input[i];

  int32_t sum = 0;  // Q12.19
  for (int32_t i = 0; i < l->size; ++i) {
    const int32_t diff = input[i] - largest;
    if (diff < l->diff_min) continue;
    const int32_t x = kws_doubling_high_mul(diff * (1 << l->shift), l->multiplier);
    sum += kws_rounding_shift_right(exp_negative(x), 12);
  }

  const int headroom = 32 - kws_bit_length32((uint32_t)sum);
  const int32_t scale = reciprocal_of_one_plus((int32_t)(((uint32_t)sum << headroom) - (1u << 31)));
  const int shift = 12 - headroom + 31 - 8;
  for (int32_t i = 0; i < l->size; ++i) {
    const int32_t diff = input[i] - largest;
    output[i] = INT8_MIN;
    if (diff < l->diff_min) continue;
    const int32_t x = kws_doubling_high_mul(diff * (1 << l->shift), l->multiplier);
    const int32_t q = kws_rounding_shift_right(kws_doubling_high_mul(scale, exp_negative(x)), shift) + INT8_MIN;
    output[i] = (int8_t)kws_clamp(q, INT8_MIN, INT8_MAX);
  }
}
