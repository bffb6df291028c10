#include "kws_host.h"

#include "kws_frontend.h"

int kws_host_features(const int16_t* clips, size_t n_clips, size_t n_samples, uint16_t step_samples,
                      uint16_t* features) {
  kws_frontend frontend;
  const kws_status status = kws_frontend_init(&frontend, step_samples);
  if (status != KWS_OK) return status;
  for (size_t clip = 0; clip < n_clips; ++clip) {
    kws_frontend_reset(&frontend);
    for (size_t at = 0, consumed = 0; at < n_samples; at += consumed)
      if (kws_frontend_process(&frontend, clips + at, n_samples - at, &consumed, features)) features += KWS_CHANNELS;
    clips += n_samples;
  }
  return KWS_OK;
}
