// The line protocol: commands `name%` in, lines `m-...` and `e-[...]` out, `m-ready` when a command is done.
//
// name, profile, help, timestamp, db, infer and results are MLPerf Tiny's, with the answers that its runner reads; the
// tensor that db loads is the network's int8 input, KWS_FRAMES rows of KWS_CHANNELS. Ours stand beside them, and answer
// with the lines of kws_report.h.
#ifndef KWS_PROTOCOL_H_
#define KWS_PROTOCOL_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kws_bench.h"
#include "kws_recognizer.h"
#include "kws_report.h"
#include "kws_spotter.h"

enum { KWS_COMMAND_LIMIT = 96 };  // bytes of a command, its % counted; a longer one is refused

typedef struct {
  kws_spotter* spotter;
  kws_recognizer* recognizer;
  kws_reporter reporter;
  kws_clock clock;
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

// Samples were lost: writes an m-kws-overrun line. What was heard is forgotten, because the rest doesn't follow on it.
void kws_protocol_overrun(kws_protocol* protocol, uint32_t lost_samples);

// Takes what the spotter predicted: writes an m-kws-heard line, and an m-kws-detected line when the recognizer finds a
// word. True when it did, with *detection written.
bool kws_protocol_report(kws_protocol* protocol, const kws_prediction* prediction, kws_detection* detection);

#endif
