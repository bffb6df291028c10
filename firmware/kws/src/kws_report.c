#include "kws_report.h"

#include "kws_cpu.h"
#include "kws_line.h"

KWS_SMALL static void start(kws_reporter* r, kws_line* line, kws_line_kind kind) {
  static const char* const names[KWS_LINE_KINDS] = {"heard", "detected", "overrun", "settings", "bench"};
  line->length = 0;
  kws_line_text(line, "m-kws-");
  kws_line_text(line, names[kind]);
  kws_line_char(line, ',');
  kws_line_unsigned(line, r->sequence[kind]++);
}

KWS_SMALL static void put_number(kws_line* line, uint32_t value) {
  kws_line_char(line, ',');
  kws_line_unsigned(line, value);
}

KWS_SMALL static void put_text(kws_line* line, const char* text) {
  kws_line_char(line, ',');
  kws_line_text(line, text);
}

KWS_SMALL static void put_spread(kws_line* line, const kws_spread* spread) {
  put_number(line, spread->min);
  put_number(line, spread->max);
  put_number(line, spread->mean);
}

KWS_SMALL static void send(kws_reporter* r, kws_line* line) {
  kws_line_crc(line);
  kws_line_end(line);
  r->write(r->context, line->text, line->length);
}

kws_status kws_report_init(kws_reporter* reporter, kws_write_fn write, void* context) {
  if (!reporter || !write) return KWS_BAD_ARGUMENT;
  *reporter = (kws_reporter){.write = write, .context = context};
  return KWS_OK;
}

KWS_SMALL void kws_report_heard(kws_reporter* reporter, const kws_prediction* prediction) {
  kws_line line;
  start(reporter, &line, KWS_LINE_HEARD);
  put_number(&line, prediction->sample);
  put_text(&line, kws_model_labels[prediction->label]);
  for (int i = 0; i < KWS_LABELS; ++i) {
    kws_line_char(&line, ',');
    kws_line_signed(&line, prediction->scores[i]);
  }
  send(reporter, &line);
}

KWS_SMALL void kws_report_detected(kws_reporter* reporter, const kws_detection* detection) {
  kws_line line;
  start(reporter, &line, KWS_LINE_DETECTED);
  put_number(&line, detection->sample);
  put_text(&line, kws_model_labels[detection->label]);
  put_number(&line, detection->score);
  send(reporter, &line);
}

KWS_SMALL void kws_report_overrun(kws_reporter* reporter, uint32_t lost_samples) {
  kws_line line;
  start(reporter, &line, KWS_LINE_OVERRUN);
  put_number(&line, lost_samples);
  send(reporter, &line);
}

KWS_SMALL void kws_report_settings(kws_reporter* reporter, bool listening, uint16_t hop_frames,
                         const kws_recognizer_settings* settings) {
  kws_line line;
  start(reporter, &line, KWS_LINE_SETTINGS);
  put_text(&line, listening ? "on" : "off");
  put_number(&line, hop_frames);
  put_number(&line, settings->threshold);
  put_number(&line, settings->window_ms);
  put_number(&line, settings->suppression_ms);
  put_number(&line, settings->minimum_count);
  send(reporter, &line);
}

KWS_SMALL void kws_report_stage(kws_reporter* reporter, kws_stage stage, uint32_t runs, const kws_stage_times* times) {
  static const char* const names[KWS_STAGES] = {"preprocessing", "inference", "postprocessing"};
  kws_line line;
  start(reporter, &line, KWS_LINE_BENCH);
  put_text(&line, names[stage]);
  put_number(&line, runs);
  put_spread(&line, &times->us);
  put_spread(&line, &times->cycles);
  send(reporter, &line);
}
