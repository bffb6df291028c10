#include "kws_protocol.h"

#include <string.h>

#include "kws_cpu.h"
#include "kws_line.h"

#define KWS_TEXT_OF(x) #x
#define KWS_TEXT(x) KWS_TEXT_OF(x)  // of what x stands for

enum { INPUT_BYTES = KWS_FRAMES * KWS_CHANNELS, PRINT_BYTES = 8, DEFAULT_WARMUPS = 10 };

// --- writing lines ---------------------------------------------------------------------------------------------------

KWS_SMALL static void send(kws_protocol* p, kws_line* line) {
  kws_line_end(line);
  p->reporter.write(p->reporter.context, line->text, line->length);
}

KWS_SMALL static void send_text(kws_protocol* p, const char* text) {
  kws_line line = {0};
  kws_line_text(&line, text);
  send(p, &line);
}

KWS_SMALL static void send_text_number(kws_protocol* p, const char* text, uint32_t number) {
  kws_line line = {0};
  kws_line_text(&line, text);
  kws_line_unsigned(&line, number);
  send(p, &line);
}

KWS_SMALL static void send_error(kws_protocol* p, const char* error, const char* about) {
  kws_line line = {0};
  kws_line_text(&line, "e-[");
  kws_line_text(&line, error);
  kws_line_text(&line, about);
  kws_line_char(&line, ']');
  send(p, &line);
}

KWS_SMALL static void send_timestamp(kws_protocol* p) {
  send_text_number(p, "m-lap-us-", p->clock.now_us(p->clock.context));
}

KWS_SMALL static void send_results(kws_protocol* p) {
  kws_line line = {0};
  kws_line_text(&line, "m-results-[");
  for (int i = 0; i < KWS_LABELS; ++i) {
    if (i > 0) kws_line_char(&line, ',');
    kws_line_probability(&line, p->scores[i]);
  }
  kws_line_char(&line, ']');
  send(p, &line);
}

static void send_settings(kws_protocol* p) {
  kws_report_settings(&p->reporter, p->listening, p->spotter->hop_frames, &p->recognizer->settings);
}

// --- reading arguments -----------------------------------------------------------------------------------------------

// The text after `word` and the blanks behind it; NULL when `text` starts with another word.
KWS_SMALL static const char* after_word(const char* text, const char* word) {
  const size_t length = strlen(word);
  if (strncmp(text, word, length) != 0) return NULL;
  if (text[length] != '\0' && text[length] != ' ') return NULL;
  text += length;
  while (*text == ' ') ++text;
  return text;
}

// Takes a decimal number of at most `limit` and the blanks behind it off *text. False when there is none.
KWS_SMALL static bool take_number(const char** text, uint32_t limit, uint32_t* number) {
  const char* c = *text;
  uint32_t value = 0;
  if (*c < '0' || *c > '9') return false;
  for (; *c >= '0' && *c <= '9'; ++c) {
    const uint32_t digit = (uint32_t)(*c - '0');
    if (digit > limit || value > (limit - digit) / 10) return false;
    value = value * 10 + digit;
  }
  if (*c != '\0' && *c != ' ') return false;
  while (*c == ' ') ++c;
  *text = c;
  *number = value;
  return true;
}

// The whole of `text` is one number in low..high.
KWS_SMALL static bool parse_number(const char* text, uint32_t low, uint32_t high, uint32_t* number) {
  return take_number(&text, high, number) && *text == '\0' && *number >= low;
}

KWS_SMALL static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// --- commands: each answers NULL or what was wrong -------------------------------------------------------------------

KWS_SMALL static void start_afresh(kws_protocol* p) {
  kws_spotter_reset(p->spotter);
  kws_recognizer_reset(p->recognizer);
}

static const char* run_name(kws_protocol* p, const char* argument) {
  (void)argument;
  send_text(p, "m-name-dut-[kws_nb " KWS_MODEL_NAME "]");
  return NULL;
}

static const char* run_profile(kws_protocol* p, const char* argument) {
  (void)argument;
  send_text(p, "m-profile-[ULPMark for tinyML Firmware V0.0.1]");  // by these two names the runner picks its script
  send_text(p, "m-model-[kws01]");
  return NULL;
}

static const char* run_timestamp(kws_protocol* p, const char* argument) {
  (void)argument;
  send_timestamp(p);
  return NULL;
}

// The spotter's own window is the buffer, so it stops listening until `stream on`.
KWS_SMALL static const char* load_buffer(kws_protocol* p, const char* argument) {
  uint32_t bytes;
  if (!parse_number(argument, 1, INPUT_BYTES, &bytes)) return "db load takes a number of bytes, at most the input's";
  kws_line line = {0};
  kws_line_text(&line, "m-[Expecting ");
  kws_line_unsigned(&line, bytes);
  kws_line_text(&line, " bytes]");
  send(p, &line);
  start_afresh(p);
  p->listening = false;
  p->announced_bytes = (uint16_t)bytes;
  p->loaded_bytes = 0;
  return NULL;
}

// All bytes, or some of them: `db print [how many [from]]`.
KWS_SMALL static const char* print_buffer(kws_protocol* p, const char* argument) {
  static const char error[] = "db print takes how many bytes and from where";
  uint32_t bytes = p->announced_bytes, from = 0;
  if (*argument && !take_number(&argument, INPUT_BYTES, &bytes)) return error;
  if (*argument && !take_number(&argument, INPUT_BYTES, &from)) return error;
  if (*argument) return error;
  const uint32_t end = from + bytes < p->announced_bytes ? from + bytes : p->announced_bytes;
  for (uint32_t start = from; start < end; start += PRINT_BYTES) {
    kws_line line = {0};
    kws_line_text(&line, "m-buffer");
    for (uint32_t i = start; i < end && i < start + PRINT_BYTES; ++i) {
      kws_line_char(&line, '-');
      kws_line_hex(&line, (uint8_t)p->spotter->window[i], 2);
    }
    send(p, &line);
  }
  return NULL;
}

// Digits beyond the announced number of bytes are ignored.
KWS_SMALL static const char* fill_buffer(kws_protocol* p, const char* digits) {
  const size_t length = strlen(digits);
  if (p->loaded_bytes >= p->announced_bytes) return "Nothing is being loaded, announce it with db load";
  if (length % 2 != 0) return "A byte has two hex digits";
  for (size_t i = 0; i < length; ++i)
    if (hex_digit(digits[i]) < 0) return "That is no hex digit";
  for (size_t i = 0; i < length && p->loaded_bytes < p->announced_bytes; i += 2)
    p->spotter->window[p->loaded_bytes++] = (int8_t)(hex_digit(digits[i]) * 16 + hex_digit(digits[i + 1]));
  if (p->loaded_bytes == p->announced_bytes) send_text(p, "m-load-done");
  return NULL;
}

KWS_SMALL static const char* run_db(kws_protocol* p, const char* argument) {
  const char* rest;
  if (!*argument) return "db needs load, print or hex digits";
  if ((rest = after_word(argument, "load"))) return load_buffer(p, rest);
  if ((rest = after_word(argument, "print"))) return print_buffer(p, rest);
  return fill_buffer(p, argument);
}

static void infer(kws_protocol* p) { kws_spotter_invoke(p->spotter, p->scores); }

// On what db has loaded, else on what was heard last.
KWS_SMALL static const char* run_infer(kws_protocol* p, const char* argument) {
  static const char error[] = "infer takes 1 to 65535 runs and 0 to 65535 warm-ups";
  uint32_t runs = 1, warmups = DEFAULT_WARMUPS;
  if (*argument && !take_number(&argument, UINT16_MAX, &runs)) return error;
  if (*argument && !take_number(&argument, UINT16_MAX, &warmups)) return error;
  if (*argument || runs == 0) return error;
  if (p->announced_bytes > 0 && p->loaded_bytes < INPUT_BYTES) return "The input is not complete";
  send_text_number(p, "m-warmup-start-", warmups);
  for (uint32_t i = 0; i < warmups; ++i) infer(p);
  send_text(p, "m-warmup-done");
  send_text_number(p, "m-infer-start-", runs);
  send_timestamp(p);
  for (uint32_t i = 0; i < runs; ++i) infer(p);
  send_timestamp(p);
  send_text(p, "m-infer-done");
  send_results(p);
  return NULL;
}

static const char* run_results(kws_protocol* p, const char* argument) {
  (void)argument;
  send_results(p);
  return NULL;
}

static const char* run_reset(kws_protocol* p, const char* argument) {
  if (*argument) return "reset takes nothing";
  start_afresh(p);
  p->announced_bytes = 0;
  return NULL;
}

KWS_SMALL static const char* run_hop(kws_protocol* p, const char* argument) {
  uint32_t frames;
  if (!parse_number(argument, 1, UINT16_MAX, &frames)) return "hop takes 1 to 65535 frames";
  if (kws_spotter_init(p->spotter, (uint16_t)frames) != KWS_OK) return "The spotter refuses this hop";
  start_afresh(p);
  send_settings(p);
  return NULL;
}

KWS_SMALL static const char* run_stream(kws_protocol* p, const char* argument) {
  const bool on = strcmp(argument, "on") == 0;
  if (!on && strcmp(argument, "off") != 0) return "stream takes on or off";
  if (on && !p->listening) start_afresh(p);
  if (on) p->announced_bytes = 0;
  p->listening = on;
  send_settings(p);
  return NULL;
}

KWS_SMALL static const char* run_bench(kws_protocol* p, const char* argument) {
  kws_stage_times times[KWS_STAGES];
  uint32_t runs;
  if (!parse_number(argument, 1, UINT16_MAX, &runs)) return "bench takes 1 to 65535 runs";
  if (kws_bench_run(p->spotter, p->recognizer, &p->clock, runs, times, p->scores) != KWS_OK) return "The bench failed";
  start_afresh(p);
  for (int i = 0; i < KWS_STAGES; ++i) kws_report_stage(&p->reporter, (kws_stage)i, runs, &times[i]);
  return NULL;
}

static const char* run_settings(kws_protocol* p, const char* argument) {
  if (*argument) return "settings takes nothing";
  send_settings(p);
  return NULL;
}

KWS_SMALL static const char* configure(kws_protocol* p, const kws_recognizer_settings* settings) {
  if (kws_recognizer_configure(p->recognizer, settings) != KWS_OK) return "The recognizer refuses this value";
  send_settings(p);
  return NULL;
}

KWS_SMALL static const char* run_threshold(kws_protocol* p, const char* argument) {
  kws_recognizer_settings settings = p->recognizer->settings;
  uint32_t value;
  if (!parse_number(argument, 0, UINT8_MAX, &value)) return "threshold takes 0 to 255";
  settings.threshold = (uint8_t)value;
  return configure(p, &settings);
}

KWS_SMALL static const char* run_window(kws_protocol* p, const char* argument) {
  kws_recognizer_settings settings = p->recognizer->settings;
  uint32_t value;
  if (!parse_number(argument, 1, UINT16_MAX, &value)) return "window takes 1 to 65535 ms";
  settings.window_ms = (uint16_t)value;
  return configure(p, &settings);
}

KWS_SMALL static const char* run_suppression(kws_protocol* p, const char* argument) {
  kws_recognizer_settings settings = p->recognizer->settings;
  uint32_t value;
  if (!parse_number(argument, 0, UINT16_MAX, &value)) return "suppression takes 0 to 65535 ms";
  settings.suppression_ms = (uint16_t)value;
  return configure(p, &settings);
}

KWS_SMALL static const char* run_count(kws_protocol* p, const char* argument) {
  kws_recognizer_settings settings = p->recognizer->settings;
  uint32_t value;
  if (!parse_number(argument, 1, KWS_RECOGNIZER_RESULTS, &value)) return "count takes 1 to " KWS_TEXT(KWS_RECOGNIZER_RESULTS) " predictions";
  settings.minimum_count = (uint8_t)value;
  return configure(p, &settings);
}

static const char* run_help(kws_protocol* p, const char* argument);

typedef struct {
  const char* name;
  const char* (*run)(kws_protocol* p, const char* argument);
  const char* help;
} command;

static const command commands[] = {
    {"help", run_help, "these lines"},
    {"name", run_name, "who this is"},
    {"profile", run_profile, "what MLPerf Tiny's runner asks for"},
    {"timestamp", run_timestamp, "the board's clock in us"},
    {"db", run_db, "load N, then HEX..., fill the network's input; print [N [FROM]]"},
    {"infer", run_infer, "N [W]: N inferences after W (10) that are not timed"},
    {"results", run_results, "the last inference's probabilities"},
    {"reset", run_reset, "forget what was heard"},
    {"stream", run_stream, "on or off: listen or not"},
    {"hop", run_hop, "N: a prediction every N frames of 20 ms"},
    {"settings", run_settings, "of all that can be set"},
    {"threshold", run_threshold, "N: score above which a word is detected, of 255"},
    {"window", run_window, "MS: over which scores are averaged"},
    {"suppression", run_suppression, "MS: in which a word is not detected again"},
    {"count", run_count, "N: predictions that an average needs"},
    {"bench", run_bench, "N: time N runs of each stage"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

KWS_SMALL static const char* run_help(kws_protocol* p, const char* argument) {
  (void)argument;
  for (int i = 0; i < COMMANDS; ++i) {
    kws_line line = {0};
    kws_line_text(&line, commands[i].name);
    kws_line_text(&line, "% : ");
    kws_line_text(&line, commands[i].help);
    send(p, &line);
  }
  return NULL;
}

// --- the whole -------------------------------------------------------------------------------------------------------

KWS_SMALL static void run_command(kws_protocol* p, const char* text) {
  while (*text == ' ') ++text;
  if (!*text) return;  // a lone % asks whether anybody is there
  for (int i = 0; i < COMMANDS; ++i) {
    const char* argument = after_word(text, commands[i].name);
    if (!argument) continue;
    const char* error = commands[i].run(p, argument);
    if (error) send_error(p, error, "");
    return;
  }
  send_error(p, "Unknown command: ", text);
}

KWS_SMALL static void finish_command(kws_protocol* p) {
  const bool overflow = p->overflow, garbled = p->garbled;
  p->command[p->length] = '\0';
  p->length = 0;
  p->overflow = p->garbled = false;
  if (overflow) {
    send_error(p, "The command is too long", "");
  } else if (garbled) {
    send_error(p, "The command holds bytes that are no text", "");
  } else {
    run_command(p, p->command);
  }
  send_text(p, "m-ready");
}

void kws_protocol_init(kws_protocol* protocol, kws_spotter* spotter, kws_recognizer* recognizer, kws_write_fn write,
                       kws_clock clock) {
  *protocol = (kws_protocol){.spotter = spotter, .recognizer = recognizer, .clock = clock, .listening = true};
  kws_report_init(&protocol->reporter, write, clock.context);
  for (int i = 0; i < KWS_LABELS; ++i) protocol->scores[i] = INT8_MIN;
  send_text(protocol, "m-timestamp-mode-performance");
  send_timestamp(protocol);
  send_text(protocol, "m-init-done");
  send_text(protocol, "m-ready");
}

KWS_SMALL void kws_protocol_receive(kws_protocol* protocol, const uint8_t* bytes, size_t n_bytes) {
  kws_protocol* p = protocol;
  for (size_t i = 0; i < n_bytes; ++i) {
    const uint8_t c = bytes[i];
    if (c == '%') {
      finish_command(p);
    } else if (c == '\r' || c == '\n') {
      continue;
    } else if (c < ' ' || c > '~') {
      p->garbled = true;
    } else if (p->length < KWS_COMMAND_LIMIT - 1) {
      p->command[p->length++] = (char)c;
    } else {
      p->overflow = true;
    }
  }
}

void kws_protocol_overrun(kws_protocol* protocol, uint32_t lost_samples) {
  kws_report_overrun(&protocol->reporter, lost_samples);
  start_afresh(protocol);
}

bool kws_protocol_report(kws_protocol* protocol, const kws_prediction* prediction, kws_detection* detection) {
  kws_protocol* p = protocol;
  for (int i = 0; i < KWS_LABELS; ++i) p->scores[i] = prediction->scores[i];
  kws_report_heard(&p->reporter, prediction);
  if (!kws_recognizer_process(p->recognizer, prediction, detection)) return false;
  kws_report_detected(&p->reporter, detection);
  return true;
}
