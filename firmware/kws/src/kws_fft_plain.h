// The FFT of kws_fft.h in plain C, of KWS_LANES frames at once.
#ifndef KWS_FFT_PLAIN_H_
#define KWS_FFT_PLAIN_H_

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

static inline kws_complex16 get(const kws_lanes16* x, int lane) { return (kws_complex16){x->re[lane], x->im[lane]}; }

static inline void put(kws_lanes16* x, int lane, kws_complex16 value) {
  x->re[lane] = value.re;
  x->im[lane] = value.im;
}

// One butterfly: four points become the four outputs of a length-4 DFT, scaled by 1/4.
static inline void butterfly(kws_lanes16* restrict x0, kws_lanes16* restrict x1, kws_lanes16* restrict x2,
                             kws_lanes16* restrict x3, const kws_complex16* twiddles, int k) {
  const kws_complex16 w1 = twiddles[k], w2 = twiddles[2 * k], w3 = twiddles[3 * k];
  for (int lane = 0; lane < KWS_LANES; ++lane) {
    const kws_complex16 a = divide_complex(get(x0, lane), RADIX);
    const kws_complex16 b = multiply(divide_complex(get(x1, lane), RADIX), w1);
    const kws_complex16 c = multiply(divide_complex(get(x2, lane), RADIX), w2);
    const kws_complex16 d = multiply(divide_complex(get(x3, lane), RADIX), w3);
    const kws_complex16 a_plus_c = add(a, c), a_minus_c = subtract(a, c);
    const kws_complex16 b_plus_d = add(b, d), b_minus_d = subtract(b, d);
    const kws_complex16 minus_j_b_minus_d = {b_minus_d.im, (int16_t)-b_minus_d.re};
    put(x0, lane, add(a_plus_c, b_plus_d));
    put(x1, lane, add(a_minus_c, minus_j_b_minus_d));
    put(x2, lane, subtract(a_plus_c, b_plus_d));
    put(x3, lane, subtract(a_minus_c, minus_j_b_minus_d));
  }
}

// Butterflies join points `span` apart.
static inline void fft_complex(const kws_complex16 input[KWS_LANES][HALF], kws_lanes16* x) {
  for (int i = 0; i < HALF; ++i) {
    kws_complex16 from[KWS_LANES];
    for (int lane = 0; lane < KWS_LANES; ++lane) from[lane] = input[lane][reverse_digits(i)];
    for (int lane = 0; lane < KWS_LANES; ++lane) put(x + i, lane, from[lane]);
  }
  for (int span = 1, stride = HALF / RADIX; span < HALF; span *= RADIX, stride /= RADIX)
    for (int block = 0; block < HALF; block += RADIX * span)
      for (int k = 0; k < span; ++k) {
        kws_lanes16* const p = x + block + k;
        butterfly(p, p + span, p + 2 * span, p + 3 * span, kws_twiddles, k * stride);
      }
}

// Even samples went in as real parts, odd ones as imaginary parts; symmetry takes the two spectra apart again: the bins
// k and HALF - k from the points k and HALF - k. (The bins are put down last: they may be one.)
static inline void split_pair(const kws_lanes16* x, const kws_lanes16* mirrored_x, kws_complex16 twiddle,
                              kws_lanes16* bin, kws_lanes16* mirrored_bin) {
  kws_lanes16 low, high;
  for (int lane = 0; lane < KWS_LANES; ++lane) {
    const kws_complex16 mirrored = {mirrored_x->re[lane], (int16_t)-mirrored_x->im[lane]};
    const kws_complex16 p = divide_complex(get(x, lane), 2), q = divide_complex(mirrored, 2);
    const kws_complex16 even = add(p, q);
    const kws_complex16 odd = multiply(subtract(p, q), twiddle);
    put(&low, lane, (kws_complex16){(int16_t)((even.re + odd.re) >> 1), (int16_t)((even.im + odd.im) >> 1)});
    put(&high, lane, (kws_complex16){(int16_t)((even.re - odd.re) >> 1), (int16_t)((odd.im - even.im) >> 1)});
  }
  *bin = low;
  *mirrored_bin = high;
}

static inline void split(const kws_lanes16* x, kws_lanes16* bins) {
  for (int lane = 0; lane < KWS_LANES; ++lane) {
    const kws_complex16 dc = divide_complex(get(x, lane), 2);
    put(bins, lane, (kws_complex16){(int16_t)(dc.re + dc.im), 0});
    put(bins + HALF, lane, (kws_complex16){(int16_t)(dc.re - dc.im), 0});
  }
  for (int k = 1; k <= HALF / 2; ++k)
    split_pair(x + k, x + HALF - k, kws_split_twiddles[k - 1], bins + k, bins + HALF - k);
}

// work: KWS_FFT_SIZE / 2 values of scratch.
// bins: KWS_FFT_BINS values, which may lie where input lies: the input is no longer needed when they are written.
static inline void fft_real(const kws_complex16 input[KWS_LANES][HALF], kws_lanes16* work, kws_lanes16* bins) {
  fft_complex(input, work);
  split(work, bins);
}

#endif
