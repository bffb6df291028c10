// Fixed-point FFT of 512 real samples: 256 complex points, four radix-4 stages, then the split into 257 bins.
//
// Every butterfly divides by its radix, so nothing overflows and the result is the DFT divided by 512. The rounding
// (half up at bit 15, after each product) is that of KISS FFT's 16-bit build, because the front end that TensorFlow
// trains with rounds so: https://github.com/mborgerding/kissfft
#ifndef KWS_FFT_H_
#define KWS_FFT_H_

#include <stdint.h>

#include "kws_config.h"

typedef struct {
  int16_t re;
  int16_t im;
} kws_complex16;

// input: KWS_FFT_SIZE samples. work: KWS_FFT_SIZE / 2 values of scratch. bins: KWS_FFT_BINS values.
// bins may lie where input lies: the input is no longer needed when they are written.
void kws_fft_real(const int16_t* input, kws_complex16* work, kws_complex16* bins);

#endif
