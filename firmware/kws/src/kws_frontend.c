#include "kws_frontend.h"

#include <string.h>

#include "kws_channels.h"
#include "kws_cpu.h"
#include "kws_frontend_dsp.h"
#if !KWS_DSP
#include "kws_mel_plain.h"
#endif

static void compute_frame(kws_frontend* f, uint16_t* features) {
#if KWS_DSP
  uint32_t* const channels = kws_mel_channels_dsp(f->window, &f->scratch);
#else
  const int16_t* const window = f->window;
  kws_mel_channels_plain(&window, &f->scratch);
  uint32_t* const channels = f->scratch.spectrum.channels[0];
#endif
  kws_channel_features(f->noise_estimate, channels, features);
}

kws_status kws_frontend_init(kws_frontend* frontend, uint16_t step_samples) {
  if (!frontend || step_samples == 0 || step_samples > KWS_WINDOW_SAMPLES) return KWS_BAD_ARGUMENT;
  frontend->step_samples = step_samples;
  kws_frontend_reset(frontend);
  return KWS_OK;
}

void kws_frontend_reset(kws_frontend* frontend) {
  frontend->filled_samples = 0;
  memset(frontend->noise_estimate, 0, sizeof frontend->noise_estimate);
}

bool kws_frontend_process(kws_frontend* frontend, const int16_t* samples, size_t n_samples, size_t* consumed,
                          uint16_t* features) {
  const size_t wanted = (size_t)KWS_WINDOW_SAMPLES - frontend->filled_samples;
  const size_t taken = n_samples < wanted ? n_samples : wanted;
  memcpy(frontend->window + frontend->filled_samples, samples, taken * sizeof *samples);
  frontend->filled_samples = (uint16_t)(frontend->filled_samples + taken);
  *consumed = taken;
  if (frontend->filled_samples < KWS_WINDOW_SAMPLES) return false;
  compute_frame(frontend, features);
  const size_t kept = (size_t)KWS_WINDOW_SAMPLES - frontend->step_samples;
  memmove(frontend->window, frontend->window + frontend->step_samples, kept * sizeof *frontend->window);
  frontend->filled_samples = (uint16_t)kept;
  return true;
}
