// The port on this machine: sound from the WAV file in $KWS_WAV (16 kHz, mono, int16), serial input from $KWS_SERIAL,
// lines to stdout. The program ends when the sound does.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "port.h"

static FILE* wav;

// Past the header: the first chunk named `data`.
static void open_wav(void) {
  char id[4];
  uint8_t size[4];
  wav = fopen(getenv("KWS_WAV"), "rb");
  if (!wav || fseek(wav, 12, SEEK_SET) != 0) exit(2);
  while (fread(id, 4, 1, wav) == 1 && fread(size, 4, 1, wav) == 1) {
    if (memcmp(id, "data", 4) == 0) return;
    if (fseek(wav, size[0] + size[1] * 256L + size[2] * 65536L, SEEK_CUR) != 0) exit(2);
  }
  exit(2);
}

size_t port_audio_read(int16_t* samples, size_t limit) {
  if (!wav) open_wav();
  return fread(samples, sizeof *samples, limit, wav);
}

size_t port_serial_read(uint8_t* bytes, size_t limit) {
  static size_t taken;
  const char* text = getenv("KWS_SERIAL");
  const size_t waiting = text ? strlen(text) - taken : 0, n = waiting < limit ? waiting : limit;
  if (n > 0) memcpy(bytes, text + taken, n);
  taken += n;
  return n;
}

void port_serial_write(const char* text, size_t length) { fwrite(text, 1, length, stdout); }

void port_led(int on) { (void)on; }

uint32_t port_now_us(void) { return 0; }

uint32_t port_now_cycles(void) { return 0; }

void port_idle(void) { exit(0); }
