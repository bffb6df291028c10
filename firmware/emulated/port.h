// The seam between the program and a board: everything main.c needs and the portable core does not know.
#ifndef KWS_PORT_H_
#define KWS_PORT_H_

#include <stddef.h>
#include <stdint.h>

size_t port_serial_read(uint8_t* bytes, size_t limit);      // takes what has arrived, returns how much
void port_serial_write(const char* text, size_t length);
size_t port_audio_read(int16_t* samples, size_t limit);     // takes what the microphone has, returns how much
void port_led(int on);
uint32_t port_now_us(void);                                 // wraps after 71 minutes
uint32_t port_now_cycles(void);                             // wraps after a minute; 0: this board has no such counter
void port_idle(void);                                       // nothing to do: sleep until something arrives

#endif
