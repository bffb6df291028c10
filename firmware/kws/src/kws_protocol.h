// The line protocol: commands `name%` in, lines `m-...` out, `m-ready` when a command is done.
//
// The commands and the ready mark are those of MLPerf Tiny (EEMBC's runner); ours stand beside them. Lines that carry
// measurements carry a sequence number and a checksum:
//
//   m-kws-heard,<sequence>,<sample>,<label>,<score>,...*<CRC-16/CCITT-FALSE of all before the star, 4 hex digits>
#ifndef KWS_PROTOCOL_H_
#define KWS_PROTOCOL_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kws_spotter.h"

enum { KWS_COMMAND_LIMIT = 64 };  // bytes of a command, its % counted; a longer one is refused

typedef void (*kws_write_fn)(void* context, const char* text, size_t length);

typedef struct {
  kws_spotter* spotter;
  kws_write_fn write;
  void* context;
  uint64_t (*now_us)(void* context);
  uint32_t sequence;
  bool listening;
  bool overflow;
  uint8_t length;
  char command[KWS_COMMAND_LIMIT];
} kws_protocol;

// Greets with m-init-done and m-ready. Listening is on.
void kws_protocol_init(kws_protocol* protocol, kws_spotter* spotter, kws_write_fn write,
                       uint64_t (*now_us)(void* context), void* context);

// Takes any bytes. Runs a command when its % arrives; line ends are ignored.
void kws_protocol_receive(kws_protocol* protocol, const uint8_t* bytes, size_t n_bytes);

// Writes one m-kws-heard line.
void kws_protocol_report(kws_protocol* protocol, const kws_prediction* prediction);

#endif
