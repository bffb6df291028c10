#include "kws_fft.h"

#include "kws_tables.h"

enum { HALF = KWS_FFT_SIZE / 2, RADIX = 4, ONE_Q15 = 32767 };

// A product of two Q15 numbers is Q30: back to Q15, half rounds up.
static inline int16_t round_q30(int32_t x) { return (int16_t)((x + (1 << 14)) >> 15); }

static inline int16_t divide(int16_t x, int divisor) { return round_q30((int32_t)x * (ONE_Q15 / divisor)); }

static inline kws_complex16 divide_complex(kws_complex16 x, int divisor) {
  return (kws_complex16){divide(x.re, divisor), divide(x.im, divisor)};
}

// Sums wrap at 16 bits, as the arithmetic they must equal does.
static inline kws_complex16 add(kws_complex16 a, kws_complex16 b) {
  return (kws_complex16){(int16_t)(a.re + b.re), (int16_t)(a.im + b.im)};
}

static inline kws_complex16 subtract(kws_complex16 a, kws_complex16 b) {
  return (kws_complex16){(int16_t)(a.re - b.re), (int16_t)(a.im - b.im)};
}

static inline kws_complex16 multiply(kws_complex16 a, kws_complex16 b) {
  return (kws_complex16){round_q30((int32_t)a.re * b.re - (int32_t)a.im * b.im),
                         round_q30((int32_t)a.re * b.im + (int32_t)a.im * b.re)};
}

// Where point i comes from: its four base-4 digits in reverse order.
static inline int reverse_digits(int i) {
  return ((i & 0x03) << 6) | ((i & 0x0C) << 2) | ((i & 0x30) >> 2) | ((i & 0xC0) >> 6);
}

// One butterfly: four points `span` apart become the four outputs of a length-4 DFT, scaled by 1/4.
static void butterfly(kws_complex16* x, int span, int stride, int k) {
  const kws_complex16 a = divide_complex(x[0], RADIX);
  const kws_complex16 b = multiply(divide_complex(x[span], RADIX), kws_twiddles[k * stride]);
  const kws_complex16 c = multiply(divide_complex(x[2 * span], RADIX), kws_twiddles[2 * k * stride]);
  const kws_complex16 d = multiply(divide_complex(x[3 * span], RADIX), kws_twiddles[3 * k * stride]);
  const kws_complex16 a_plus_c = add(a, c), a_minus_c = subtract(a, c);
  const kws_complex16 b_plus_d = add(b, d), b_minus_d = subtract(b, d);
  const kws_complex16 minus_j_b_minus_d = {b_minus_d.im, (int16_t)-b_minus_d.re};
  x[0] = add(a_plus_c, b_plus_d);
  x[span] = add(a_minus_c, minus_j_b_minus_d);
  x[2 * span] = subtract(a_plus_c, b_plus_d);
  x[3 * span] = subtract(a_minus_c, minus_j_b_minus_d);
}

static void fft_complex(const int16_t* input, kws_complex16* x) {
  for (int i = 0; i < HALF; ++i) {
    const int from = 2 * reverse_digits(i);
    x[i] = (kws_complex16){input[from], input[from + 1]};
  }
  for (int span = 1, stride = HALF / RADIX; span < HALF; span *= RADIX, stride /= RADIX)
    for (int block = 0; block < HALF; block += RADIX * span)
      for (int k = 0; k < span; ++k) butterfly(x + block + k, span, stride, k);
}

// Even samples went in as real parts, odd ones as imaginary parts; symmetry takes the two spectra apart again.
static void split(const kws_complex16* x, kws_complex16* bins) {
  const kws_complex16 dc = divide_complex(x[0], 2);
  bins[0] = (kws_complex16){(int16_t)(dc.re + dc.im), 0};
  bins[HALF] = (kws_complex16){(int16_t)(dc.re - dc.im), 0};
  for (int k = 1; k <= HALF / 2; ++k) {
    const kws_complex16 mirrored = {x[HALF - k].re, (int16_t)-x[HALF - k].im};
    const kws_complex16 p = divide_complex(x[k], 2), q = divide_complex(mirrored, 2);
    const kws_complex16 even = add(p, q);
    const kws_complex16 odd = multiply(subtract(p, q), kws_split_twiddles[k - 1]);
    bins[k] = (kws_complex16){(int16_t)((even.re + odd.re) >> 1), (int16_t)((even.im + odd.im) >> 1)};
    bins[HALF - k] = (kws_complex16){(int16_t)((even.re - odd.re) >> 1), (int16_t)((odd.im - even.im) >> 1)};
  }
}

void kws_fft_real(const int16_t* input, kws_complex16* work, kws_complex16* bins) {
  fft_complex(input, work);
  split(work, bins);
}
