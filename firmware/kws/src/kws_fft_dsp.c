// kws_fft_plain.h with packed arithmetic, every rounding as there. Sums are those of packed int16, which wrap alike.
//
// The points stay where they are: stage 1 joins points 64 words apart, stage 2 those 16 apart, then 4, then 1. So
// stage 1 reads the samples in their natural order and a butterfly's twiddle depends on its block alone; only the last
// stage puts its results in order.
#include "kws_cpu.h"

#if KWS_DSP

#include "kws_frontend_dsp.h"
#include "kws_tables.h"

enum { HALF = KWS_FFT_SIZE / 2, QUARTER = HALF / 4, SAMPLE_WORDS = KWS_WINDOW_SAMPLES / 2 };

// A loop over butterflies is one piece of assembly: there are just the registers it needs, and no compiler finds that
// out. a, b, c, d are a butterfly's four points, t is scratch, half = 2^15 and quarter = 2^14 are rounding terms.

// x / 4 as the plain FFT has it: (x * 8191 + 2^14) >> 15. Twice the factor and the half bring it into the upper halves.
#define DIVIDE_BY_4(x)                        \
  "smlabb %[t], " x ", %[factor], %[half]\n"  \
  "smlatb " x ", " x ", %[factor], %[half]\n" \
  "pkhtb " x ", " x ", %[t], asr #16\n"

// (x << shift) / 4. With P the product of x and 16382 << shift, the quotient is (P + 2^15) >> 16. SMLAW yields
// (P >> 15) + 1, and half of that, rounded down, is the same.
#define SHIFT_AND_DIVIDE_BY_4(x)             \
  "smlawb %[t], %[factor], " x ", %[one]\n"  \
  "smlawt " x ", %[factor], " x ", %[one]\n" \
  "asr %[t], %[t], #1\n"                     \
  "pkhbt " x ", %[t], " x ", lsl #15\n"

#define MULTIPLY(x, twiddle)                       \
  "smlsd %[t], " x ", " twiddle ", %[quarter]\n"   \
  "smladx " x ", " x ", " twiddle ", %[quarter]\n" \
  "lsl " x ", " x ", #1\n"                         \
  "pkhtb " x ", " x ", %[t], asr #15\n"

// The length-4 DFT; its results are, in this order, in d, c, t, a.
#define DFT_4                            \
  "sadd16 %[t], %[a], %[c]\n"            \
  "ssub16 %[a], %[a], %[c]\n"            \
  "sadd16 %[c], %[b], %[d]\n"            \
  "ssub16 %[b], %[b], %[d]\n"            \
  "sadd16 %[d], %[t], %[c]\n"            \
  "ssub16 %[t], %[t], %[c]\n"            \
  "ssax %[c], %[a], %[b]\n" /* a - jb */ \
  "sasx %[a], %[a], %[b]\n" /* a + jb */

// In place: points `span` bytes apart.
#define LOAD                     \
  "ldr %[a], [%[x]]\n"           \
  "ldr %[b], [%[x], %[span]]\n"  \
  "ldr %[c], [%[x], %[span2]]\n" \
  "ldr %[d], [%[x], %[span3]]\n"

#define STORE_AND_ADVANCE        \
  "str %[c], [%[x], %[span]]\n"  \
  "str %[t], [%[x], %[span2]]\n" \
  "str %[a], [%[x], %[span3]]\n" \
  "str %[d], [%[x]], #4\n"

#define SPAN(bytes) [span] "i"(bytes), [span2] "i"(2 * (bytes)), [span3] "i"(3 * (bytes))

#define POINTS [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [t] "=&r"(t)

#define FOUR_TIMES(butterfly) butterfly butterfly butterfly butterfly

// One register holds both a factor, in its lower half, and the rounds left to do, in its upper half.
#define FACTOR_AND_ROUNDS(rounds) ((2 * 8191) | ((rounds) - 1) << 16)
#define NEXT_ROUND "subs %[factor], %[factor], #0x10000\nbpl 1b\n"

// All twiddles are one: 32767, which changes nothing, because (32767 y + 2^14) >> 15 is y whenever -2^14 < y <= 2^14,
// and here |y| < 2^13. The last samples of the FFT are zeros that nobody wrote.
static inline void stage_1(uint32_t* x, int shift) {
  const int32_t factor = (2 * 8191) << (shift + 1);
  const uint32_t* const last_with_4 = x + SAMPLE_WORDS - 3 * QUARTER;
  const uint32_t* const last = x + QUARTER;
  uint32_t a, b, c, d, t;
  __asm volatile("1:\n" FOUR_TIMES(LOAD SHIFT_AND_DIVIDE_BY_4("%[a]") SHIFT_AND_DIVIDE_BY_4("%[b]")
                     SHIFT_AND_DIVIDE_BY_4("%[c]") SHIFT_AND_DIVIDE_BY_4("%[d]") DFT_4 STORE_AND_ADVANCE)
                     "cmp %[x], %[last]\nbne 1b\n"
                 : [x] "+&r"(x), POINTS
                 : [factor] "r"(factor), [one] "r"(1), [last] "r"(last_with_4), SPAN(4 * QUARTER)
                 : "memory", "cc");
  __asm volatile("1:\n" LOAD SHIFT_AND_DIVIDE_BY_4("%[a]") SHIFT_AND_DIVIDE_BY_4("%[b]") SHIFT_AND_DIVIDE_BY_4("%[c]")
                 "mov %[d], #0\n" DFT_4 STORE_AND_ADVANCE "cmp %[x], %[last]\nbne 1b\n"
                 : [x] "+&r"(x), POINTS
                 : [factor] "r"(factor), [one] "r"(1), [last] "r"(last), SPAN(4 * QUARTER)
                 : "memory", "cc");
}

// Blocks of 4 * span words, `span` butterflies in each, all with the block's twiddles; the first block's are one.
// span: a multiple of 4.
__attribute__((always_inline)) static inline void middle_stage(uint32_t* x, const int span) {
  const uint32_t* const end = x + HALF;
  const uint32_t* twiddle = kws_packed_twiddles + 3;
  int32_t factor = FACTOR_AND_ROUNDS(span);
  uint32_t a, b, c, d, t;
  __asm volatile("1:\n" LOAD DIVIDE_BY_4("%[a]") DIVIDE_BY_4("%[b]") DIVIDE_BY_4("%[c]") DIVIDE_BY_4("%[d]") DFT_4
                     STORE_AND_ADVANCE NEXT_ROUND
                 : [x] "+&r"(x), [factor] "+&r"(factor), POINTS
                 : [half] "r"(1 << 15), SPAN(4 * span)
                 : "memory", "cc");
  for (x += 3 * span; x != end; x += 3 * span) {
    const uint32_t t1 = *twiddle++, t2 = *twiddle++, t3 = *twiddle++;
    factor = FACTOR_AND_ROUNDS(span / 4);
    __asm volatile("1:\n" FOUR_TIMES(
                       LOAD DIVIDE_BY_4("%[a]") DIVIDE_BY_4("%[b]") MULTIPLY("%[b]", "%[t1]") DIVIDE_BY_4("%[c]")
                       MULTIPLY("%[c]", "%[t2]") DIVIDE_BY_4("%[d]") MULTIPLY("%[d]", "%[t3]") DFT_4 STORE_AND_ADVANCE)
                       NEXT_ROUND
                   : [x] "+&r"(x), [factor] "+&r"(factor), POINTS
                   : [half] "r"(1 << 15), [quarter] "r"(1 << 14), [t1] "r"(t1), [t2] "r"(t2),
                     [t3] "r"(t3), SPAN(4 * span)
                   : "memory", "cc");
  }
}

// Four words in a row are a butterfly's points, with twiddles of its own. The results of butterfly g are points k + 0,
// k + 64, k + 128 and k + 192, where k is g with its three base-4 digits in reverse order.
static inline void last_stage(const uint32_t* x, uint32_t* points) {
  const uint32_t* twiddle = kws_packed_twiddles;
  register uint32_t a __asm("r0"), b __asm("r1"), c __asm("r2"), d __asm("r3");  // LDM wants them in order
  uint32_t t, w;
  for (const uint32_t* const last = points + 4; points != last; points -= 15) {
    int32_t factor = FACTOR_AND_ROUNDS(4);
    __asm volatile("1:\n" FOUR_TIMES(
                       "ldm %[x]!, {%[a], %[b], %[c], %[d]}\n"
                       DIVIDE_BY_4("%[a]") DIVIDE_BY_4("%[b]") DIVIDE_BY_4("%[c]") DIVIDE_BY_4("%[d]")
                       "ldr %[w], [%[twiddle]], #4\n" MULTIPLY("%[b]", "%[w]")
                       "ldr %[w], [%[twiddle]], #4\n" MULTIPLY("%[c]", "%[w]")
                       "ldr %[w], [%[twiddle]], #4\n" MULTIPLY("%[d]", "%[w]") DFT_4
                       "str %[c], [%[points], %[span]]\n"
                       "str %[t], [%[points], %[span2]]\n"
                       "str %[a], [%[points], %[span3]]\n"
                       "str %[d], [%[points]], #4 * 16\n")
                   "sub %[points], %[points], #4 * 60\n" NEXT_ROUND
                   : [x] "+&r"(x), [points] "+&r"(points), [twiddle] "+&r"(twiddle), [factor] "+&r"(factor), POINTS,
                     [w] "=&r"(w)
                   : [half] "r"(1 << 15), [quarter] "r"(1 << 14), SPAN(4 * QUARTER)
                   : "memory", "cc");
  }
}

void kws_fft_dsp(uint32_t* samples, int shift, uint32_t* points) {
  stage_1(samples, shift);
  middle_stage(samples, 16);
  middle_stage(samples, 4);
  last_stage(samples, points);
}

static inline uint32_t multiply(uint32_t a, uint32_t b) {
  const int32_t re = __smlsd((int16x2_t)a, (int16x2_t)b, 1 << 14), im = __smladx((int16x2_t)a, (int16x2_t)b, 1 << 14);
  return KWS_PACK_HIGH((uint32_t)im << 1, re, 15);
}

// (a.low - b.high, a.high + b.low)
static inline uint32_t add_exchanged(uint32_t a, uint32_t b) { return (uint32_t)__sasx((int16x2_t)a, (int16x2_t)b); }

// The bins k and 256 - k of the plain FFT's split from points k and 256 - k. With p and q the halves of the two points
// there, q conjugate, even = p + q and odd = (p - q) * twiddle, this holds q with its parts exchanged and the imaginary
// one negated, so that each exchanging instruction gives what is needed next:
//   flipped         (-q.im, q.re)
//   p - q         = (p.re - q.re, p.im - q.im)
//   flipped_even  = (-even.im, even.re)
//   bin k         = (odd.re + even.re, odd.im + even.im) / 2
//   bin 256 - k   = (odd.im - even.im, even.re - odd.re) / 2, parts exchanged, which is all one to the energy
// Halving rounds down without losing the carry, as in the plain FFT. No sum of two halves overflows. And -q.im rounds
// up where q.im rounds down, so its rounding term is 2^15 - 1.
static inline void split_pair(uint32_t* low, uint32_t* high, uint32_t twiddle, int32_t factors) {
  const int32_t x = (int32_t)*low, mirrored = (int32_t)*high;
  const int32_t negated = __ssub16(0, mirrored);  // wraps at -32768, like the plain FFT's
  const uint32_t p = KWS_PACK_HIGH(__smlatb(x, factors, 1 << 15), __smlabb(x, factors, 1 << 15), 16);
  const int32_t q_re = __smlabb(mirrored, factors, 1 << 15), minus_q_im = __smlatt(negated, factors, (1 << 15) - 1);
  const uint32_t flipped = KWS_PACK_HIGH(q_re, minus_q_im, 16);
  const uint32_t odd = multiply(add_exchanged(p, flipped), twiddle);
  const uint32_t flipped_even = add_exchanged(flipped, p);
  const int16x2_t bin = __shsax((int16x2_t)odd, (int16x2_t)flipped_even);
  const int16x2_t mirrored_bin = __shsax((int16x2_t)flipped_even, (int16x2_t)odd);
  *low = (uint32_t)__smuad(bin, bin);
  *high = (uint32_t)__smuad(mirrored_bin, mirrored_bin);
}

void kws_bin_energies_dsp(uint32_t* points, int first) {
  const uint32_t* twiddle = kws_packed_split_twiddles + first - 1;
  uint32_t* low = points + first;
  uint32_t* high = points + HALF - first;
  int32_t factors = 2 * 16383 | -(2 * 16383) * (1 << 16);  // x / 2 is (x * 16383 + 2^14) >> 15
  KWS_KEEP(factors);
  while (low < high)
    for (int unrolled = 0; unrolled < 2; ++unrolled) {
      KWS_KEEP(low);
      KWS_KEEP(high);
      KWS_KEEP(twiddle);
      split_pair(low++, high--, *twiddle++, factors);
    }
  if (low == high) split_pair(low, high, *twiddle, factors);
}

#endif
