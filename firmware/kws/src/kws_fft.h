// Fixed-point FFT of 512 real samples: 256 complex points, four radix-4 stages, then the split into 257 bins.
//
// Every butterfly divides by its radix, so nothing overflows and the result is the DFT divided by 512. The rounding
// (half up at bit 15, after each product) is that of KISS FFT's 16-bit build, because the front end that TensorFlow
// trains with rounds so: https://github.com/mborgerding/kissfft
// kws_fft_plain.h has it in plain C, kws_fft_dsp.c with packed arithmetic.
#ifndef KWS_FFT_H_
#define KWS_FFT_H_

#include <stdint.h>

#include "kws_config.h"

typedef struct {
  int16_t re;
  int16_t im;
} kws_complex16;

// Plain C computes KWS_LANES frames side by side: one on a microcontroller, several on a machine whose compiler turns
// loops over lanes into vector instructions. A file that wants several defines it before it includes anything.
#ifndef KWS_LANES
#define KWS_LANES 1
#endif

// One complex number of each frame.
typedef struct {
  int16_t re[KWS_LANES];
  int16_t im[KWS_LANES];
} kws_lanes16;

#endif
