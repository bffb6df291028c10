// The front end alone, for tests: microphone in, raw features out. A '>' on the serial port starts afresh.
#include "kws_frontend.h"
#include "port.h"

enum { AUDIO_CHUNK = 160 };

static kws_frontend frontend;

int main(void) {
  static int16_t samples[AUDIO_CHUNK];
  uint16_t features[KWS_CHANNELS];
  uint8_t byte;
  kws_frontend_init(&frontend, KWS_STEP_SAMPLES);
  for (;;) {
    const size_t n_bytes = port_serial_read(&byte, 1);
    if (n_bytes) kws_frontend_reset(&frontend);
    const size_t n_samples = port_audio_read(samples, AUDIO_CHUNK);
    for (size_t at = 0, consumed = 0; at < n_samples; at += consumed)
      if (kws_frontend_process(&frontend, samples + at, n_samples - at, &consumed, features))
        port_serial_write((const char*)features, sizeof features);
    if (n_bytes == 0 && n_samples == 0) port_idle();
  }
}
