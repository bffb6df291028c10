// The front end alone, for tests: microphone in, raw features out. A byte from the serial port starts afresh with that
// many samples between two windows, 0 for the usual number. After a 255 what comes in is the input of two kernels.
#include "kws_frontend.h"
#include "kws_frontend_dsp.h"
#include "port.h"

enum { AUDIO_CHUNK = 160, KERNELS = 255, N_ROOTS = 128 };

static kws_frontend frontend;

// Both say whether there was anything to do.
static bool run_frontend(void) {
  static int16_t samples[AUDIO_CHUNK];
  uint16_t features[KWS_CHANNELS];
  const size_t n_samples = port_audio_read(samples, AUDIO_CHUNK);
  for (size_t at = 0, consumed = 0; at < n_samples; at += consumed)
    if (kws_frontend_process(&frontend, samples + at, n_samples - at, &consumed, features))
      port_serial_write((const char*)features, sizeof features);
  return n_samples > 0;
}

// 256 complex points in, the energies of bins 1 to 255 out; then 64-bit numbers in, their square roots out.
static bool run_kernels(void) {
  static union {
    int16_t samples[1];
    uint32_t points[KWS_FFT_SIZE / 2];
    kws_long squares[N_ROOTS];
  } data;
  if (port_audio_read(data.samples, sizeof data.points / 2) == 0) return false;
  kws_bin_energies_dsp(data.points, 1);
  port_serial_write((const char*)&data.points[1], 255 * sizeof *data.points);
  port_audio_read(data.samples, sizeof data.squares / 2);
  for (int i = 0; i < N_ROOTS; ++i) {
    const uint32_t root = kws_nearest_root(data.squares[i]);
    port_serial_write((const char*)&root, sizeof root);
  }
  return true;
}

int main(void) {
  uint8_t step = 0;
  kws_frontend_init(&frontend, KWS_STEP_SAMPLES);
  for (;;) {
    const bool asked = port_serial_read(&step, 1) > 0;
    if (asked && step != KERNELS) kws_frontend_init(&frontend, step ? step : KWS_STEP_SAMPLES);
    const bool busy = step == KERNELS ? run_kernels() : run_frontend();
    if (!asked && !busy) port_idle();
  }
}
