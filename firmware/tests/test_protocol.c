// Whole conversations with the line protocol, a model behind it.
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kws_protocol.h"

typedef struct {
  kws_spotter spotter;
  kws_recognizer recognizer;
  kws_protocol protocol;
  uint32_t us;
  size_t length;
  char said[1 << 16];
} board;

static void write_said(void* context, const char* text, size_t length) {
  board* b = context;
  if (b->length + length >= sizeof b->said) abort();
  memcpy(b->said + b->length, text, length);
  b->length += length;
  b->said[b->length] = '\0';
}

static uint32_t tick_us(void* context) { return ((board*)context)->us += 10; }
static uint32_t tick_cycles(void* context) { return ((board*)context)->us * 64; }

static board* start(void) {
  board* b = calloc(1, sizeof *b);
  if (!b) abort();
  kws_spotter_init(&b->spotter, KWS_HOP_FRAMES);
  kws_recognizer_init(&b->recognizer);
  kws_protocol_init(&b->protocol, &b->spotter, &b->recognizer, write_said,
                    (kws_clock){.now_us = tick_us, .now_cycles = tick_cycles, .context = b});
  return b;
}

static const char* say_bytes(board* b, const void* bytes, size_t n) {
  b->length = 0;
  b->said[0] = '\0';
  // Exactly n bytes, on the heap: reading one more would be seen.
  uint8_t* copy = malloc(n ? n : 1);
  if (!copy) abort();
  memcpy(copy, bytes, n);
  kws_protocol_receive(&b->protocol, copy, n);
  free(copy);
  return b->said;
}

static const char* say(board* b, const char* text) { return say_bytes(b, text, strlen(text)); }

static bool answers(board* b, const char* command, const char* expected) {
  const char* said = say(b, command);
  const bool same = strcmp(said, expected) == 0;
  if (!same) fprintf(stderr, "%s was answered\n%s  instead of\n%s", command, said, expected);
  return same;
}

static bool contains(const char* text, const char* part) { return strstr(text, part) != NULL; }

// All of these are errors, and each ends with m-ready. The list ends with NULL.
static bool refuses_all(board* b, const char* const* commands) {
  for (; *commands; ++commands) {
    const char* said = say(b, *commands);
    if (strncmp(said, "e-[", 3) != 0 || !contains(said, "]\r\nm-ready\r\n")) {
      fprintf(stderr, "%s was answered\n%s", *commands, said);
      return false;
    }
  }
  return true;
}

static void test_greeting(void) {
  board* b = start();
  CHECK(strcmp(b->said, "m-timestamp-mode-performance\r\nm-lap-us-10\r\nm-init-done\r\nm-ready\r\n") == 0);
  free(b);
}

static void test_runner_commands(void) {
  board* b = start();
  CHECK(answers(b, "name%", "m-name-dut-[kws_nb " KWS_MODEL_NAME "]\r\nm-ready\r\n"));
  CHECK(answers(b, "profile%", "m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[kws01]\r\nm-ready\r\n"));
  CHECK(answers(b, "timestamp%", "m-lap-us-20\r\nm-ready\r\n"));
  CHECK(contains(say(b, "help%"), "infer%"));
  CHECK(answers(b, "db load 10%", "m-[Expecting 10 bytes]\r\nm-ready\r\n"));
  CHECK(answers(b, "db 00fF80%", "m-ready\r\n"));
  CHECK(answers(b, "db 0102030405060708%", "m-load-done\r\nm-ready\r\n"));
  CHECK(answers(b, "db print%", "m-buffer-00-ff-80-01-02-03-04-05\r\nm-buffer-06-07\r\nm-ready\r\n"));
  CHECK(answers(b, "db print 2 1%", "m-buffer-ff-80\r\nm-ready\r\n"));
  CHECK(contains(say(b, "infer 1 0%"), "e-["));
  CHECK(answers(b, "results%", "m-results-[0.000,0.000,0.000,0.000]\r\nm-ready\r\n"));
  free(b);
}

static void test_inference(void) {
  board* b = start();
  say(b, "db load 1960%");
  _Alignas(4) int8_t input[KWS_FRAMES * KWS_CHANNELS], scores[KWS_LABELS];
  static kws_model_workspace workspace;
  for (size_t i = 0; i < sizeof input; ++i) input[i] = (int8_t)(i * 37 % 251);
  for (size_t i = 0; i < sizeof input; i += 28) {
    char command[80] = "db ";
    for (size_t j = i; j < i + 28; ++j) sprintf(command + strlen(command), "%02x", (uint8_t)input[j]);
    strcat(command, "%");
    CHECK(answers(b, command, i + 28 < sizeof input ? "m-ready\r\n" : "m-load-done\r\nm-ready\r\n"));
  }
  kws_model_invoke(input, scores, &workspace);
  char expected[400];
  sprintf(expected,
          "m-warmup-start-2\r\nm-warmup-done\r\nm-infer-start-3\r\nm-lap-us-20\r\nm-lap-us-30\r\nm-infer-done\r\n"
          "m-results-[%.3f,%.3f,%.3f,%.3f]\r\nm-ready\r\n",
          (scores[0] + 128) / 256., (scores[1] + 128) / 256., (scores[2] + 128) / 256., (scores[3] + 128) / 256.);
  CHECK(answers(b, "infer 3 2%", expected));
  CHECK(contains(say(b, "infer%"), "m-warmup-start-10\r\n"));
  CHECK(contains(say(b, "infer%"), "m-infer-start-1\r\n"));
  static const char* const bad[] = {"infer 0%", "infer -1%", "infer 1 x%", "infer 1 2 3%", "infer 65536%", NULL};
  CHECK(refuses_all(b, bad));
  free(b);
}

static void test_buffer_limits(void) {
  board* b = start();
  static const char* const bad[] = {"db%",           "db load%", "db load 0%",          "db load 1961%",
                                    "db load x%",    "db 00%",   "db load 4294967297%", "db load 1 1%",
                                    "db print 1961%", NULL};
  CHECK(refuses_all(b, bad));
  say(b, "db load 2%");
  CHECK(contains(say(b, "db 0%"), "e-["));
  CHECK(contains(say(b, "db 0g%"), "e-["));
  CHECK(answers(b, "db 0102030405%", "m-load-done\r\nm-ready\r\n"));
  const int8_t* window = b->spotter.window;
  CHECK(window[0] == 1 && window[1] == 2 && window[2] != 3);
  CHECK(contains(say(b, "db 01%"), "e-["));
  CHECK(answers(b, "db print 1960 1960%", "m-ready\r\n"));
  CHECK(contains(say(b, "db print 1 1 1%"), "e-["));
  free(b);
}

static void test_settings(void) {
  board* b = start();
  CHECK(contains(say(b, "settings%"), "m-kws-settings,0,on,2,200,1000,1500,3*"));
  CHECK(contains(say(b, "threshold 0%"), "m-kws-settings,1,on,2,0,1000,1500,3*"));
  CHECK(contains(say(b, "window 500%"), ",on,2,0,500,1500,3*"));
  CHECK(contains(say(b, "suppression 0%"), ",on,2,0,500,0,3*"));
  CHECK(contains(say(b, "count 64%"), ",on,2,0,500,0,64*"));
  CHECK(contains(say(b, "stream off%"), ",off,2,0,500,0,64*"));
  CHECK(contains(say(b, "hop 7%"), ",off,7,0,500,0,64*"));
  CHECK(!b->protocol.listening && b->spotter.hop_frames == 7);
  static const char* const bad[] = {"threshold 256%", "threshold%", "window 0%",  "window 65536%", "suppression -1%",
                                    "count 0%",       "count 65%",  "hop 0%",     "hop 65536%",    "hop 1 2%",
                                    "stream%",        "stream x%",  "reset now%", "bench 0%",      "settings x%",
                                    "bench 65536%",   NULL};
  CHECK(refuses_all(b, bad));
  CHECK(contains(say(b, "settings%"), ",off,7,0,500,0,64*"));
  free(b);
}

static void test_bench(void) {
  board* b = start();
  const char* said = say(b, "bench 3%");
  CHECK(contains(said, "m-kws-bench,0,preprocessing,3,40,40,40,2560,2560,2560*"));
  CHECK(contains(said, "m-kws-bench,1,inference,3,10,10,10,640,640,640*"));
  CHECK(contains(said, "m-kws-bench,2,postprocessing,3,10,10,10,640,640,640*"));
  free(b);
}

static void test_report(void) {
  board* b = start();
  kws_prediction prediction = {.sample = 16000, .label = 2, .scores = {-128, -128, 127, -127}};
  kws_detection detection;
  b->length = 0;
  CHECK(!kws_protocol_report(&b->protocol, &prediction, &detection));
  CHECK(strcmp(b->said, "m-kws-heard,0,16000,yes,-128,-128,127,-127*E398\r\n") == 0);
  int detections = 0;
  for (int i = 0; i < 20; ++i) {
    prediction.sample += 640;
    detections += kws_protocol_report(&b->protocol, &prediction, &detection);
  }
  CHECK(detections == 1 && detection.sample == 16000 + 7 * 640 && detection.label == 2 && detection.score == 255);
  CHECK(contains(b->said, "m-kws-detected,0,20480,yes,255*"));
  CHECK(contains(b->said, "m-kws-heard,20,"));
  free(b);
}

static void test_overrun(void) {
  board* b = start();
  b->length = 0;
  b->spotter.samples_heard = 5000;
  kws_protocol_overrun(&b->protocol, 123);
  CHECK(contains(b->said, "m-kws-overrun,0,123*") && b->spotter.samples_heard == 0);
  free(b);
}

// Whatever comes before: after one % the board is itself again.
static void test_noise(void) {
  board* b = start();
  char junk[3000];
  memset(junk, 'x', sizeof junk);
  CHECK(answers(b, "%", "m-ready\r\n"));
  CHECK(answers(b, "  %", "m-ready\r\n"));
  CHECK(answers(b, "na\r\nme%", "m-name-dut-[kws_nb " KWS_MODEL_NAME "]\r\nm-ready\r\n"));
  CHECK(answers(b, "names%", "e-[Unknown command: names]\r\nm-ready\r\n"));
  say_bytes(b, junk, sizeof junk);
  CHECK(answers(b, "name%", "e-[The command is too long]\r\nm-ready\r\n"));
  CHECK(contains(say(b, "name%"), "m-name"));
  say_bytes(b, "\0na\0me", 6);
  CHECK(contains(say(b, "name%"), "no text"));
  say_bytes(b, "\xff\xfe\x80", 3);
  CHECK(contains(say(b, "%"), "no text"));
  CHECK(contains(say(b, "name%name%"), "m-ready\r\nm-name"));
  for (int length = KWS_COMMAND_LIMIT - 2; length <= KWS_COMMAND_LIMIT + 1; ++length) {
    say_bytes(b, junk, (size_t)length);
    CHECK(contains(say(b, "%"), length < KWS_COMMAND_LIMIT ? "Unknown command: xxx" : "too long"));
    CHECK(contains(say(b, "name%"), "m-name"));
  }
  free(b);
}

// The same bytes one at a time give the same lines.
static void test_chunks(void) {
  const char* conversation = "name%db load 3%db 010203%db print%bogus%threshold 9%settings%infer 2 1%results%";
  board *whole = start(), *pieces = start();
  char said[4000] = "";
  for (const char* c = conversation; *c; ++c) strcat(said, say_bytes(pieces, c, 1));
  CHECK(strcmp(say(whole, conversation), said) == 0);
  free(whole);
  free(pieces);
}

int main(void) {
  test_greeting();
  test_runner_commands();
  test_inference();
  test_buffer_limits();
  test_settings();
  test_bench();
  test_report();
  test_overrun();
  test_noise();
  test_chunks();
  return failures;
}
