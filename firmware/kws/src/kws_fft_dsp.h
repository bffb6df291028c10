// The FFT of kws_fft.h with the Cortex-M4's packed arithmetic, cut to what the front end needs: shifted samples in,
// energies of the bins out. A complex number is one word, its real part in the lower half.
#ifndef KWS_FFT_DSP_H_
#define KWS_FFT_DSP_H_

#include <stdint.h>

// samples: KWS_FFT_SIZE / 2 words, of which the first KWS_WINDOW_SAMPLES / 2 hold two samples each; used as scratch.
// shift: 0..15, by which each sample is to be shifted left first; no sample may overflow by it. points: KWS_FFT_SIZE /
// 2 words, the complex spectrum before the split.
void kws_fft_dsp(uint32_t* samples, int shift, uint32_t* points);

// Splits the spectrum and replaces points[k] by the energy of bin k, for first <= k <= 256 - first. first: 1..128.
void kws_bin_energies_dsp(uint32_t* points, int first);

#endif
