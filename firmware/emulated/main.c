// The live keyword spotter: microphone in, a line for each prediction and detection out, commands in between.
#include "kws_protocol.h"
#include "kws_recognizer.h"
#include "kws_spotter.h"
#include "port.h"

enum { AUDIO_CHUNK = 160, SERIAL_CHUNK = 32 };

static kws_spotter spotter;
static kws_recognizer recognizer;
static kws_protocol protocol;

static void write_serial(void* context, const char* text, size_t length) {
  (void)context;
  port_serial_write(text, length);
}

static uint32_t now_us(void* context) {
  (void)context;
  return port_now_us();
}

static uint32_t now_cycles(void* context) {
  (void)context;
  return port_now_cycles();
}

static void hear(const int16_t* samples, size_t n_samples) {
  while (n_samples > 0) {
    kws_prediction prediction;
    kws_detection detection;
    size_t consumed = 0;
    if (kws_spotter_process(&spotter, samples, n_samples, &consumed, &prediction)) {
      port_led(prediction.label >= KWS_FIRST_KEYWORD);
      (void)kws_protocol_report(&protocol, &prediction, &detection);
    }
    samples += consumed;
    n_samples -= consumed;
  }
}

int main(void) {
  static int16_t samples[AUDIO_CHUNK];
  uint8_t bytes[SERIAL_CHUNK];
  kws_spotter_init(&spotter, KWS_HOP_FRAMES);
  kws_recognizer_init(&recognizer);
  kws_protocol_init(&protocol, &spotter, &recognizer, write_serial,
                    (kws_clock){.now_us = now_us, .now_cycles = now_cycles});
  for (;;) {
    const size_t n_bytes = port_serial_read(bytes, SERIAL_CHUNK);
    kws_protocol_receive(&protocol, bytes, n_bytes);
    const size_t n_samples = port_audio_read(samples, AUDIO_CHUNK);
    if (protocol.listening) hear(samples, n_samples);
    if (n_bytes == 0 && n_samples == 0) port_idle();
  }
}
