// What depends on the processor and on the compiler: one switch, and the few instructions that C cannot name.
//
// KWS_DSP is 1 where the processor has the DSP instructions and a floating point unit (whose registers the assembly
// borrows): there the fast kernels take the place of the plain ones, with the same outputs. -DKWS_PLAIN_C keeps the
// plain ones on every machine. Without optimisation a compiler has no registers left for the loops in assembly, so
// there it is the plain ones, too. (A file that is all assembly isn't optimised anyway: not every build says -O to it.)
//
// A packed word holds two int16: `low` in bits 0..15, `high` in bits 16..31; of a complex number the real part is low.
#ifndef KWS_CPU_H_
#define KWS_CPU_H_

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FP) && defined(__thumb2__) && !defined(KWS_PLAIN_C) && \
    (defined(__OPTIMIZE__) || defined(__ASSEMBLER__))
#define KWS_DSP 1
#else
#define KWS_DSP 0
#endif

#ifndef __ASSEMBLER__
#include <stdint.h>

// For functions that run seldom: short code matters more than fast code there, whatever the rest is compiled for.
#if defined(__clang__)
#define KWS_SMALL __attribute__((minsize, noinline))
#elif defined(__GNUC__)
#define KWS_SMALL __attribute__((cold, noinline))
#else
#define KWS_SMALL
#endif

// Hides from the compiler where a value came from. A pointer stays one pointer that moves on (and doesn't become a base
// and several indices), a constant stays in its register.
#if KWS_DSP
#define KWS_KEEP(value) __asm("" : "+r"(value))
#else
#define KWS_KEEP(value) ((void)(value))
#endif

#if KWS_DSP
#include <arm_acle.h>

// Four bytes, or two samples; on this machine they may lie at any address.
static inline uint32_t kws_load_word(const void* from) {
  uint32_t word;
  __builtin_memcpy(&word, from, sizeof word);
  return word;
}

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

// sum + low half * low half + high half * high half, signed.
static inline int32_t kws_dual_multiply_add(uint32_t a, uint32_t b, int32_t sum) {
  int32_t y;
  __asm("smlad %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(sum));
  return y;
}
#endif
#endif

#endif
