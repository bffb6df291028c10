// As much of Arduino as the examples use, over a board's port.h: compiles and runs them without an Arduino.
#ifndef KWS_SHIM_ARDUINO_H_
#define KWS_SHIM_ARDUINO_H_

#include <stddef.h>
#include <stdint.h>
#if __STDC_HOSTED__
#include <string.h>
#else
extern "C" {
void* memcpy(void* to, const void* from, size_t n);
void* memmove(void* to, const void* from, size_t n);
void* memset(void* to, int value, size_t n);
}
#endif

enum { LOW, HIGH };
enum { INPUT, OUTPUT };
enum { LED_BUILTIN = 13 };

void pinMode(int pin, int mode);
void digitalWrite(int pin, int value);
unsigned long micros();  // of sound heard: the same on every machine
unsigned long millis();

class SerialShim {
 public:
  void begin(unsigned long) {}
  explicit operator bool() const { return true; }
  int available();
  int read();
  size_t write(const char* text, size_t length);
  size_t println(const char* text);
};
extern SerialShim Serial;

void setup();
void loop();

#endif
