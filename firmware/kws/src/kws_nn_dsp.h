// Which network kernels are compiled, and the few Cortex-M4 instructions that C cannot name.
//
// KWS_FAST is 1 where the processor has the DSP instructions and a floating point unit (whose registers the assembly
// borrows). Define KWS_PLAIN_C to have the plain C there as well.
#ifndef KWS_NN_DSP_H_
#define KWS_NN_DSP_H_

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP) && defined(__thumb2__) && !defined(KWS_PLAIN_C)
#define KWS_FAST 1
#else
#define KWS_FAST 0
#endif

#if KWS_FAST && !defined(__ASSEMBLER__)
#include <stdint.h>

// Bytes 0 and 2, each widened to 16 bits.
static inline uint32_t kws_even_bytes(uint32_t x) {
  uint32_t y;
  __asm("uxtb16 %0, %1" : "=r"(y) : "r"(x));
  return y;
}

// Bytes 1 and 3, each widened to 16 bits.
static inline uint32_t kws_odd_bytes(uint32_t x) {
  uint32_t y;
  __asm("uxtb16 %0, %1, ror #8" : "=r"(y) : "r"(x));
  return y;
}

// Bytes 0 and 2, or 1 and 3, as signed numbers of 16 bits.
static inline uint32_t kws_signed_even_bytes(uint32_t x) {
  uint32_t y;
  __asm("sxtb16 %0, %1" : "=r"(y) : "r"(x));
  return y;
}

static inline uint32_t kws_signed_odd_bytes(uint32_t x) {
  uint32_t y;
  __asm("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(x));
  return y;
}

// The low halves of both, or the high halves: a's below b's.
static inline uint32_t kws_low_halves(uint32_t a, uint32_t b) {
  uint32_t y;
  __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(y) : "r"(a), "r"(b));
  return y;
}

static inline uint32_t kws_high_halves(uint32_t a, uint32_t b) {
  uint32_t y;
  __asm("pkhtb %0, %2, %1, asr #16" : "=r"(y) : "r"(a), "r"(b));
  return y;
}

// sum + low half * low half + high half * high half, signed.
static inline int32_t kws_dual_multiply_add(uint32_t a, uint32_t b, int32_t sum) {
  int32_t y;
  __asm("smlad %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(sum));
  return y;
}

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

// The low half of x, and above it the high half of x << 5.
static inline uint32_t kws_spread_by_5(uint32_t x) {
  uint32_t y;
  __asm("pkhbt %0, %1, %1, lsl #5" : "=r"(y) : "r"(x));
  return y;
}
#endif

#endif
