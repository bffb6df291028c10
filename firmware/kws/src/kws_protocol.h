// The line protocol: commands `name%` in, lines `m-...` and `e-[...]` out, `m-ready` when a command is done.
//
// name, profile, help, timestamp, db, infer and results are MLPerf Tiny's, with the answers that its runner reads; the
// tensor that db loads is the network's int8 input, KWS_FRAMES rows of KWS_CHANNELS. Ours stand beside them. Our lines
// carry a sequence number, one count for each kind of line, and a checksum:
//
//   m-kws-heard,<sequence>,<sample>,<label>,<score>,...*<CRC-16/CCITT-FALSE of all before the star, 4 hex digits>
//   m-kws-detected,<sequence>,<sample>,<label>,<score>*<CRC>
//   m-kws-settings,<sequence>,<listening>,<hop_frames>,<threshold>,<window_ms>,<suppression_ms>,<minimum_count>*<CRC>
//   m-kws-bench,<sequence>,<stage>,<runs>,<us: min>,<max>,<mean>,<cycles: min>,<max>,<mean>*<CRC>
#ifndef KWS_PROTOCOL_H_
#define KWS_PROTOCOL_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kws_bench.h"
#include "kws_recognizer.h"
#include "kws_spotter.h"

enum { KWS_COMMAND_LIMIT = 96 };  // bytes of a command, its % counted; a longer one is refused

typedef void (*kws_write_fn)(void* context, const char* text, size_t length);

// The kinds of our lines.
typedef enum { KWS_LINE_HEARD, KWS_LINE_DETECTED, KWS_LINE_SETTINGS, KWS_LINE_BENCH, KWS_LINE_KINDS } kws_line_kind;

typedef struct {
  kws_spotter* spotter;
  kws_recognizer* recognizer;
  kws_write_fn write;
  kws_clock clock;
  uint32_t sequence[KWS_LINE_KINDS];
  uint16_t announced_bytes;    // of the input that db is loading, 0: none
  uint16_t loaded_bytes;
  int8_t scores[KWS_LABELS];   // of the last inference
  bool listening;
  bool overflow;               // the command that is arriving is too long,
  bool garbled;                // or holds bytes that are no text
  uint8_t length;
  char command[KWS_COMMAND_LIMIT];
} kws_protocol;

// Greets with m-init-done and m-ready. Listening is on. write gets the clock's context.
void kws_protocol_init(kws_protocol* protocol, kws_spotter* spotter, kws_recognizer* recognizer, kws_write_fn write,
                       kws_clock clock);

// Takes any bytes. Runs a command when its % arrives; line ends are ignored.
void kws_protocol_receive(kws_protocol* protocol, const uint8_t* bytes, size_t n_bytes);

// Takes what the spotter predicted: writes an m-kws-heard line, and an m-kws-detected line when the recognizer finds a
// word. True when it did, with *detection written.
bool kws_protocol_report(kws_protocol* protocol, const kws_prediction* prediction, kws_detection* detection);

#endif
