// Our own lines: each with a sequence number, one count for each kind of line, and a checksum.
//
//   m-kws-heard,<sequence>,<sample>,<label>,<score>,...*<CRC-16/CCITT-FALSE of all before the star, 4 hex digits>
//   m-kws-detected,<sequence>,<sample>,<label>,<score>*<CRC>
//   m-kws-overrun,<sequence>,<samples lost>*<CRC>
//   m-kws-settings,<sequence>,<listening>,<hop_frames>,<threshold>,<window_ms>,<suppression_ms>,<minimum_count>*<CRC>
//   m-kws-bench,<sequence>,<stage>,<runs>,<us: min>,<max>,<mean>,<cycles: min>,<max>,<mean>*<CRC>
#ifndef KWS_REPORT_H_
#define KWS_REPORT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kws_bench.h"
#include "kws_recognizer.h"
#include "kws_spotter.h"

typedef void (*kws_write_fn)(void* context, const char* text, size_t length);

// The kinds of our lines.
typedef enum {
  KWS_LINE_HEARD,
  KWS_LINE_DETECTED,
  KWS_LINE_OVERRUN,
  KWS_LINE_SETTINGS,
  KWS_LINE_BENCH,
  KWS_LINE_KINDS
} kws_line_kind;

typedef struct {
  kws_write_fn write;  // gets one whole line, its line end included
  void* context;
  uint32_t sequence[KWS_LINE_KINDS];
} kws_reporter;

kws_status kws_report_init(kws_reporter* reporter, kws_write_fn write, void* context);

void kws_report_heard(kws_reporter* reporter, const kws_prediction* prediction);
void kws_report_detected(kws_reporter* reporter, const kws_detection* detection);
void kws_report_overrun(kws_reporter* reporter, uint32_t lost_samples);
void kws_report_settings(kws_reporter* reporter, bool listening, uint16_t hop_frames,
                         const kws_recognizer_settings* settings);
void kws_report_stage(kws_reporter* reporter, kws_stage stage, uint32_t runs, const kws_stage_times* times);

#endif
