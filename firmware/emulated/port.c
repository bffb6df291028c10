// The emulated board's devices: memory-mapped registers that Python answers (see kws_nb.board).
#include "port.h"

#define REGISTER(address) (*(volatile uint32_t*)(address))

#define SERIAL_WAITING REGISTER(0x40002000)   // bytes that have arrived
#define SERIAL_READ REGISTER(0x40002004)      // takes one
#define SERIAL_WRITE REGISTER(0x40002008)     // sends one
#define TIMER_US REGISTER(0x40008000)         // microseconds since the start, by the cycle model
#define TIMER_CYCLES REGISTER(0x40008004)     // cycles since the start, by the cycle model
#define AUDIO_WAITING REGISTER(0x4001D000)    // samples that have arrived
#define AUDIO_READ REGISTER(0x4001D004)       // takes one, sign-extended
#define LED REGISTER(0x50000000)              // 1: on

size_t port_serial_read(uint8_t* bytes, size_t limit) {
  const size_t waiting = SERIAL_WAITING;
  const size_t n = waiting < limit ? waiting : limit;
  for (size_t i = 0; i < n; ++i) bytes[i] = (uint8_t)SERIAL_READ;
  return n;
}

void port_serial_write(const char* text, size_t length) {
  for (size_t i = 0; i < length; ++i) SERIAL_WRITE = (uint8_t)text[i];
}

size_t port_audio_read(int16_t* samples, size_t limit) {
  const size_t waiting = AUDIO_WAITING;
  const size_t n = waiting < limit ? waiting : limit;
  for (size_t i = 0; i < n; ++i) samples[i] = (int16_t)AUDIO_READ;
  return n;
}

void port_led(int on) { LED = (uint32_t)on; }

uint32_t port_now_us(void) { return TIMER_US; }

uint32_t port_now_cycles(void) { return TIMER_CYCLES; }

void port_idle(void) { __asm volatile("wfi"); }
