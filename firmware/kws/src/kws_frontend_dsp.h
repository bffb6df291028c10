// The part of the front end that has a fast version for the Cortex-M4.
#ifndef KWS_FRONTEND_DSP_H_
#define KWS_FRONTEND_DSP_H_

#include "kws_frontend.h"

// One frame's KWS_CHANNELS mel channels, before the noise reduction, somewhere in the scratch. samples:
// KWS_WINDOW_SAMPLES.
uint32_t* kws_mel_channels_dsp(const int16_t* samples, kws_frontend_scratch* scratch);

#endif
