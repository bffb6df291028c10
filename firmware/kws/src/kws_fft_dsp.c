// kws_fft.c with packed arithmetic, and every rounding as there. The sums are those of packed int16, which wrap alike.
//
// The points stay where they are: stage 1 joins points 64 words apart, stage 2 those 16 apart, then 4, then 1. So stage 1
// reads the samples in their natural order and a butterfly's twiddle depends on its block alone; only the last stage
// puts its results in order.
#include "kws_dsp.h"

#if KWS_DSP

#include "kws_fft_dsp.h"
#include "kws_tables.h"

enum { HALF = KWS_FFT_SIZE / 2, QUARTER = HALF / 4, SAMPLE_WORDS = KWS_WINDOW_SAMPLES / 2 };

// x / 4 as the plain FFT has it: (x * 8191 + 2^14) >> 15. Twice the factor and the half bring it into the upper halves.
static inline uint32_t divide_by_4(uint32_t x) {
  const int32_t re = __smlabb((int32_t)x, 2 * 8191, 1 << 15), im = __smlatb((int32_t)x, 2 * 8191, 1 << 15);
  return KWS_PACK_HIGH(im, re, 16);
}

static inline uint32_t multiply(uint32_t a, uint32_t b) {
  const int32_t re = __smlsd((int16x2_t)a, (int16x2_t)b, 1 << 14), im = __smladx((int16x2_t)a, (int16x2_t)b, 1 << 14);
  return KWS_PACK_HIGH((uint32_t)im << 1, re, 15);
}

static inline uint32_t add(uint32_t a, uint32_t b) { return (uint32_t)__sadd16((int16x2_t)a, (int16x2_t)b); }

static inline uint32_t subtract(uint32_t a, uint32_t b) { return (uint32_t)__ssub16((int16x2_t)a, (int16x2_t)b); }

// (a.re + b.im, a.im - b.re), that is a - jb.
static inline uint32_t subtract_j(uint32_t a, uint32_t b) { return (uint32_t)__ssax((int16x2_t)a, (int16x2_t)b); }

// (a.re - b.im, a.im + b.re), that is a + jb; of two words with other contents, just that.
static inline uint32_t add_j(uint32_t a, uint32_t b) { return (uint32_t)__sasx((int16x2_t)a, (int16x2_t)b); }

// The length-4 DFT of a, b, c, d to four places `step` words apart.
static inline void dft_4(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t* to, int step) {
  const uint32_t a_plus_c = add(a, c), a_minus_c = subtract(a, c);
  const uint32_t b_plus_d = add(b, d), b_minus_d = subtract(b, d);
  to[0] = add(a_plus_c, b_plus_d);
  to[step] = subtract_j(a_minus_c, b_minus_d);
  to[2 * step] = subtract(a_plus_c, b_plus_d);
  to[3 * step] = add_j(a_minus_c, b_minus_d);
}

// A twiddle of one, 32767, changes nothing: (32767 y + 2^14) >> 15 is y whenever -2^14 < y <= 2^14, and here |y| < 2^13.
static inline void butterfly_of_one(const uint32_t* x, int span, uint32_t* to, int step) {
  dft_4(divide_by_4(x[0]), divide_by_4(x[span]), divide_by_4(x[2 * span]), divide_by_4(x[3 * span]), to, step);
}

static inline void butterfly(const uint32_t* x, int span, uint32_t t1, uint32_t t2, uint32_t t3, uint32_t* to, int step) {
  dft_4(divide_by_4(x[0]), multiply(divide_by_4(x[span]), t1), multiply(divide_by_4(x[2 * span]), t2),
        multiply(divide_by_4(x[3 * span]), t3), to, step);
}

// (x << shift) / 4. With P the product of x and 16382 << shift, the quotient is (P + 2^15) >> 16. SMLAW yields
// (P >> 15) + 1, and half of that, rounded down, is the same.
static inline uint32_t scale_and_divide_by_4(uint32_t x, int32_t factor) {
  const int32_t re = __smlawb(factor, (int32_t)x, 1), im = __smlawt(factor, (int32_t)x, 1);
  return KWS_PACK_LOW(re >> 1, im, 15);
}

// All twiddles are one, and the last samples of the FFT are zeros that nobody wrote.
static void stage_1(uint32_t* x, int shift) {
  const int32_t factor = (2 * 8191) << (shift + 1);
  const uint32_t* const last_with_4 = x + SAMPLE_WORDS - 3 * QUARTER;
  const uint32_t* const last = x + QUARTER;
  for (; x < last_with_4; ++x)
    dft_4(scale_and_divide_by_4(x[0], factor), scale_and_divide_by_4(x[QUARTER], factor),
          scale_and_divide_by_4(x[2 * QUARTER], factor), scale_and_divide_by_4(x[3 * QUARTER], factor), x, QUARTER);
  for (; x < last; ++x)
    dft_4(scale_and_divide_by_4(x[0], factor), scale_and_divide_by_4(x[QUARTER], factor),
          scale_and_divide_by_4(x[2 * QUARTER], factor), 0, x, QUARTER);
}

// Blocks of 4 * span words, `span` butterflies in each, all with the block's twiddles; the first block's are one.
static inline void middle_stage(uint32_t* x, int span) {
  const uint32_t* const end = x + HALF;
  for (const uint32_t* block_end = x + span; x < block_end; ++x) butterfly_of_one(x, span, x, span);
  for (const uint32_t* twiddle = kws_packed_twiddles + 3; (x += 3 * span) < end; twiddle += 3) {
    const uint32_t t1 = twiddle[0], t2 = twiddle[1], t3 = twiddle[2];
    for (const uint32_t* block_end = x + span; x < block_end; ++x) butterfly(x, span, t1, t2, t3, x, span);
  }
}

// Butterfly g of four words in a row: its results are points k, k + 64, k + 128, k + 192, where k is g with its three
// base-4 digits in reverse order.
static void last_stage(const uint32_t* x, uint32_t* points) {
  const uint32_t* twiddle = kws_packed_twiddles;
  for (int low = 0; low < 4; ++low)
    for (int middle = 0; middle < 16; middle += 4)
      for (int high = 0; high < 64; high += 16, x += 4, twiddle += 3)
        butterfly(x, 1, twiddle[0], twiddle[1], twiddle[2], points + high + middle + low, QUARTER);
}

void kws_fft_dsp(uint32_t* samples, int shift, uint32_t* points) {
  stage_1(samples, shift);
  middle_stage(samples, 16);
  middle_stage(samples, 4);
  last_stage(samples, points);
}

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
void kws_bin_energies_dsp(uint32_t* points, int first) {
  const uint32_t* twiddle = kws_packed_split_twiddles + first - 1;
  uint32_t* low = points + first;
  uint32_t* high = points + HALF - first;
  for (; low <= high; ++low, --high) {
    const int32_t x = (int32_t)*low, mirrored = (int32_t)*high;
    const int32_t negated = (int32_t)subtract(0, (uint32_t)mirrored);  // wraps at -32768, like the plain FFT's
    const uint32_t p = KWS_PACK_HIGH(__smlatb(x, 2 * 16383, 1 << 15), __smlabb(x, 2 * 16383, 1 << 15), 16);
    const int32_t q_re = __smlabb(mirrored, 2 * 16383, 1 << 15), minus_q_im = __smlatb(negated, -2 * 16383, (1 << 15) - 1);
    const uint32_t flipped = KWS_PACK_HIGH(q_re, minus_q_im, 16);
    const uint32_t odd = multiply(add_j(p, flipped), *twiddle++);
    const uint32_t flipped_even = add_j(flipped, p);
    const int16x2_t bin = __shsax((int16x2_t)odd, (int16x2_t)flipped_even);
    const int16x2_t mirrored_bin = __shsax((int16x2_t)flipped_even, (int16x2_t)odd);
    *low = (uint32_t)__smuad(bin, bin);
    *high = (uint32_t)__smuad(mirrored_bin, mirrored_bin);
  }
}

#endif
