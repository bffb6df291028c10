// The part of the front end that has a fast version for the Cortex-M4.
#ifndef KWS_FRONTEND_DSP_H_
#define KWS_FRONTEND_DSP_H_

#include "kws_frontend.h"

// One frame's mel channels, before the noise reduction. samples: KWS_WINDOW_SAMPLES. channels: KWS_CHANNELS.
void kws_mel_channels_dsp(const int16_t* samples, kws_frontend_scratch* scratch, uint32_t* channels);

#endif
