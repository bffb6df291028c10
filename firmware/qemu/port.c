// The Cortex-M4 machine of QEMU (-M mps2-an386): its UART, a clip linked into the image as the microphone, and the
// debugger's exit call when the clip has been heard. Flash and RAM lie where they lie on the emulated board.
#include "port.h"

#define REGISTER(address) (*(volatile uint32_t*)(address))

#define UART_DATA REGISTER(0x40004000)
#define UART_STATE REGISTER(0x40004004)  // bit 0: the transmit buffer is full
#define UART_CONTROL REGISTER(0x40004008)
#define UART_DIVIDER REGISTER(0x40004010)

extern const int16_t port_clip[];
extern const uint32_t port_clip_samples;

static uint32_t heard_samples;

size_t port_serial_read(uint8_t* bytes, size_t limit) {
  (void)bytes;
  (void)limit;
  return 0;
}

void port_serial_write(const char* text, size_t length) {
  UART_DIVIDER = 16;
  UART_CONTROL = 1;
  for (size_t i = 0; i < length; ++i) {
    while (UART_STATE & 1) {
    }
    UART_DATA = (uint8_t)text[i];
  }
}

size_t port_audio_read(int16_t* samples, size_t limit) {
  const size_t waiting = port_clip_samples - heard_samples;
  const size_t n = waiting < limit ? waiting : limit;
  for (size_t i = 0; i < n; ++i) samples[i] = port_clip[heard_samples++];
  return n;
}

void port_led(int on) { (void)on; }

uint32_t port_now_us(void) { return 0; }

uint32_t port_now_cycles(void) { return 0; }

void port_idle(void) {
  register uint32_t operation __asm("r0") = 0x18;     // SYS_EXIT
  register uint32_t reason __asm("r1") = 0x20026;     // ADP_Stopped_ApplicationExit
  __asm volatile("bkpt 0xab" : : "r"(operation), "r"(reason) : "memory");
}
