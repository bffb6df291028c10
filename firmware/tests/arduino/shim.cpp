// The machine under the sketch: sound from port_audio_read arrives as the microphone's interrupts, the serial line is
// the port's. SHIM_CHUNK samples come with each interrupt, and the loop runs until they are worked on.
#include <Arduino.h>
#include <PDM.h>

extern "C" {
#include "port.h"
}

#ifndef SHIM_CHUNK
#define SHIM_CHUNK 256
#endif

static int16_t arrived[SHIM_CHUNK];
static size_t n_arrived, n_read;
static uint64_t samples_heard;
static void (*on_receive)();
static bool microphone_on;
static uint8_t received[64];
static size_t n_received, n_received_read;

SerialShim Serial;
PDMShim PDM;

void pinMode(int, int) {}
void digitalWrite(int pin, int value) {
  if (pin == LED_BUILTIN) port_led(value == HIGH);
}
unsigned long micros() { return static_cast<unsigned long>(static_cast<uint32_t>(samples_heard * 125 / 2)); }
unsigned long millis() { return static_cast<unsigned long>(static_cast<uint32_t>(samples_heard / 16)); }

int SerialShim::available() { return static_cast<int>(n_received - n_received_read); }
int SerialShim::read() { return available() > 0 ? received[n_received_read++] : -1; }
size_t SerialShim::write(const char* text, size_t length) {
  port_serial_write(text, length);
  return length;
}
size_t SerialShim::println(const char* text) {
  size_t length = 0;
  while (text[length]) ++length;
  port_serial_write(text, length);
  port_serial_write("\r\n", 2);
  return length + 2;
}

void PDMShim::onReceive(void (*callback)()) { on_receive = callback; }
int PDMShim::begin(int channels, int sample_rate) { return microphone_on = channels == 1 && sample_rate == 16000; }
void PDMShim::setGain(int) {}
int PDMShim::available() { return static_cast<int>((n_arrived - n_read) * sizeof *arrived); }
int PDMShim::read(void* buffer, size_t size_bytes) {
  const size_t wanted = size_bytes / sizeof *arrived, n = n_arrived - n_read < wanted ? n_arrived - n_read : wanted;
  memcpy(buffer, arrived + n_read, n * sizeof *arrived);
  n_read += n;
  return static_cast<int>(n * sizeof *arrived);
}

extern "C" void shim_run();

void shim_run() {
  setup();
  for (;;) {
    n_received = port_serial_read(received, sizeof received);
    n_received_read = 0;
    n_arrived = microphone_on ? port_audio_read(arrived, SHIM_CHUNK) : 0;
    n_read = 0;
    samples_heard += n_arrived;
    if (n_arrived > 0) on_receive();
    for (size_t i = 0; i <= SHIM_CHUNK / 160 + 1; ++i) loop();
    if (n_arrived == 0 && n_received == 0) port_idle();
  }
}
