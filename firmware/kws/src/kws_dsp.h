// The Cortex-M4's packed 16-bit arithmetic. KWS_DSP says whether there is any, and whether the fast kernels (*_dsp.c)
// take the place of the plain ones; -DKWS_PLAIN_C keeps the plain ones on every machine. Without optimisation a
// compiler has no registers left for the loops in assembly, so there it is the plain ones, too.
//
// A packed word holds two int16: `low` in bits 0..15, `high` in bits 16..31; of a complex number the real part is low.
#ifndef KWS_DSP_H_
#define KWS_DSP_H_

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP) && defined(__OPTIMIZE__) && !defined(KWS_PLAIN_C)
#define KWS_DSP 1

#include <arm_acle.h>
#include <stdint.h>

// Compilers do not always find these in shifts and masks, hence the assembly.

// low: x >> shift, high: that of `high`. shift: 1..31.
#define KWS_PACK_HIGH(high, x, shift)                                                                      \
  __extension__({                                                                                          \
    uint32_t packed_;                                                                                      \
    __asm("pkhtb %0, %1, %2, asr %3" : "=r"(packed_) : "r"(high), "r"(x), "I"(shift));                     \
    packed_;                                                                                               \
  })

// low: that of `low`, high: (x << shift) >> 16. shift: 1..31.
#define KWS_PACK_LOW(low, x, shift)                                                                        \
  __extension__({                                                                                          \
    uint32_t packed_;                                                                                      \
    __asm("pkhbt %0, %1, %2, lsl %3" : "=r"(packed_) : "r"(low), "r"(x), "I"(shift));                      \
    packed_;                                                                                               \
  })

// Hides from the compiler where a value came from. A pointer stays one pointer that moves on (and doesn't become a base
// and several indices), a constant stays in its register.
#define KWS_KEEP(value) __asm("" : "+r"(value))

// Absolute values; that of -32768 is -32768. (One piece, because SEL reads flags that SSUB16 leaves.)
static inline uint32_t kws_packed_abs(uint32_t x) {
  uint32_t negated;
  __asm("ssub16 %0, %2, %1\n\tsel %0, %0, %1" : "=&r"(negated) : "r"(x), "r"(0));
  return negated;
}

// (weight * low sample) >> 16 and (weight * high sample) >> 16; older compilers lack __smulwb and __smulwt.
static inline int32_t kws_weigh_low(int32_t weight, uint32_t samples) {
  int32_t weighed;
  __asm("smulwb %0, %1, %2" : "=r"(weighed) : "r"(weight), "r"(samples));
  return weighed;
}

static inline int32_t kws_weigh_high(int32_t weight, uint32_t samples) {
  int32_t weighed;
  __asm("smulwt %0, %1, %2" : "=r"(weighed) : "r"(weight), "r"(samples));
  return weighed;
}

// x + a * b, rounded once.
static inline float kws_multiply_add_float(float x, float a, float b) {
  __asm("vfma.f32 %0, %1, %2" : "+t"(x) : "t"(a), "t"(b));
  return x;
}

// The square root, good to about one part in 2^23, as an integer.
static inline int32_t kws_sqrt_float(float x) {
  int32_t root;
  __asm("vsqrt.f32 %0, %1\n\tvcvtr.s32.f32 %0, %0" : "=t"(root) : "t"(x));
  return root;
}

// A 64-bit number in two registers of the compiler's choice.
typedef struct {
  uint32_t low;
  uint32_t high;
} kws_long;

// sum + a * b
static inline kws_long kws_multiply_add_long(kws_long sum, uint32_t a, uint32_t b) {
  __asm("umlal %0, %1, %2, %3" : "+r"(sum.low), "+r"(sum.high) : "r"(a), "r"(b));
  return sum;
}

static inline kws_long kws_subtract_long(kws_long a, kws_long b) {
  __asm("subs %0, %0, %2\n\tsbc %1, %1, %3" : "+&r"(a.low), "+r"(a.high) : "r"(b.low), "r"(b.high) : "cc");
  return a;
}

// Two samples; on this machine they need not lie at an even word.
static inline uint32_t kws_load_pair(const int16_t* from) {
  uint32_t pair;
  __builtin_memcpy(&pair, from, sizeof pair);
  return pair;
}

#else
#define KWS_DSP 0
#define KWS_KEEP(value) ((void)(value))
#endif

#endif
