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

// The low half of x, and above it the high half of x << 5.
static inline uint32_t kws_spread_by_5(uint32_t x) {
  uint32_t y;
  __asm("pkhbt %0, %1, %1, lsl #5" : "=r"(y) : "r"(x));
  return y;
}
#endif

#endif
