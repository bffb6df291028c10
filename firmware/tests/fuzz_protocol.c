// Any bytes to the protocol. Built with -fsanitize=fuzzer and -DKWS_LIBFUZZER it is a libFuzzer target; without them it
// replays files and makes changes to them: fuzz_protocol RUNS FILE...
//
// Behind the protocol stand a spotter, a network and a bench that do next to nothing, so that time goes into parsing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kws_protocol.h"

// --- what the protocol calls -----------------------------------------------------------------------------------------

kws_status kws_spotter_init(kws_spotter* spotter, uint16_t hop_frames) {
  if (hop_frames == 0) abort();
  spotter->hop_frames = hop_frames;
  return KWS_OK;
}

void kws_spotter_reset(kws_spotter* spotter) { spotter->samples_heard = 0; }

void kws_spotter_invoke(kws_spotter* spotter, int8_t* scores) { memcpy(scores, spotter->window, KWS_LABELS); }

kws_status kws_bench_run(kws_spotter* spotter, kws_recognizer* recognizer, const kws_clock* clock, uint32_t runs,
                         kws_stage_times times[KWS_STAGES], int8_t* scores) {
  if (runs == 0 || runs > UINT16_MAX) abort();
  (void)spotter;
  (void)recognizer;
  (void)clock;
  memset(times, 0xFF, KWS_STAGES * sizeof *times);  // the longest numbers
  memset(scores, 0, KWS_LABELS);
  return KWS_OK;
}

// --- what it says ----------------------------------------------------------------------------------------------------

enum { TAIL = 64 };

typedef struct {
  uint32_t us;
  char tail[TAIL];  // the last characters said
} listener;

// Every write is one line of text that ends with CR LF.
static void listen(void* context, const char* text, size_t length) {
  listener* l = context;
  if (length < 2 || text[length - 2] != '\r' || text[length - 1] != '\n') abort();
  for (size_t i = 0; i < length - 2; ++i)
    if (text[i] < ' ' || text[i] > '~') abort();
  const size_t kept = length < TAIL ? length : TAIL;
  memmove(l->tail, l->tail + kept, TAIL - kept);
  memcpy(l->tail + TAIL - kept, text + length - kept, kept);
}

static uint32_t now(void* context) { return ((listener*)context)->us += 0x01000193; }

static void require_tail(const listener* l, const char* expected) {
  const size_t length = strlen(expected);
  if (memcmp(l->tail + TAIL - length, expected, length) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // On the heap, so that a byte written beside one of them is seen.
  kws_spotter* spotter = calloc(1, sizeof *spotter);
  kws_recognizer* recognizer = calloc(1, sizeof *recognizer);
  kws_protocol* protocol = calloc(1, sizeof *protocol);
  if (!spotter || !recognizer || !protocol) abort();
  listener l = {0};
  kws_spotter_init(spotter, KWS_HOP_FRAMES);
  kws_recognizer_init(recognizer);
  kws_protocol_init(protocol, spotter, recognizer, listen,
                    (kws_clock){.now_us = now, .now_cycles = now, .context = &l});

  const size_t piece = size ? 1 + data[0] % 40 : 1;
  for (size_t at = 0; at < size; at += piece) {
    const size_t n = size - at < piece ? size - at : piece;
    kws_protocol_receive(protocol, data + at, n);
    if (!protocol->listening) continue;
    kws_prediction prediction = {.sample = spotter->samples_heard += 640, .label = data[at] % KWS_LABELS};
    kws_detection detection;
    for (int i = 0; i < KWS_LABELS; ++i) prediction.scores[i] = (int8_t)(data[at] * (i + 1));
    (void)kws_protocol_report(protocol, &prediction, &detection);
  }

  kws_protocol_receive(protocol, (const uint8_t*)"%", 1);
  require_tail(&l, "m-ready\r\n");
  kws_protocol_receive(protocol, (const uint8_t*)"name%", 5);
  require_tail(&l, "m-name-dut-[kws_nb " KWS_MODEL_NAME "]\r\nm-ready\r\n");
  free(spotter);
  free(recognizer);
  free(protocol);
  return 0;
}

// --- without libFuzzer -----------------------------------------------------------------------------------------------

#ifndef KWS_LIBFUZZER

enum { INPUT_LIMIT = 4096, FILE_LIMIT = 256 };

typedef struct {
  size_t size;
  uint8_t data[INPUT_LIMIT];
} input;

static uint32_t random_below(uint32_t* state, uint32_t limit) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state % limit;
}

// One change: a byte, a cut, a doubling, or a piece of another input at its end.
static void change(uint32_t* state, input* in, const input* other) {
  const uint32_t kind = random_below(state, 4);
  if (kind == 0 && in->size > 0) in->data[random_below(state, (uint32_t)in->size)] = (uint8_t)random_below(state, 256);
  if (kind == 1) in->size = random_below(state, (uint32_t)in->size + 1);
  if (kind == 2 && in->size > 0 && in->size <= INPUT_LIMIT / 2) {
    memcpy(in->data + in->size, in->data, in->size);
    in->size *= 2;
  }
  if (kind == 3 && other->size > 0) {
    const size_t from = random_below(state, (uint32_t)other->size), room = INPUT_LIMIT - in->size;
    const size_t n = other->size - from < room ? other->size - from : room;
    memcpy(in->data + in->size, other->data + from, n);
    in->size += n;
  }
}

int main(int argc, char** argv) {
  static input files[FILE_LIMIT], changed;
  const long runs = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
  uint32_t state = 1, n_files = 0;
  for (int i = 2; i < argc && n_files < FILE_LIMIT; ++i, ++n_files) {
    FILE* file = fopen(argv[i], "rb");
    if (!file) return 2;
    files[n_files].size = fread(files[n_files].data, 1, INPUT_LIMIT, file);
    fclose(file);
    LLVMFuzzerTestOneInput(files[n_files].data, files[n_files].size);
  }
  for (long run = 0; run < runs && n_files > 0; ++run) {
    changed = files[random_below(&state, n_files)];
    for (uint32_t changes = 1 + random_below(&state, 8); changes > 0; --changes)
      change(&state, &changed, &files[random_below(&state, n_files)]);
    LLVMFuzzerTestOneInput(changed.data, changed.size);
  }
  printf("%u files, %ld changed inputs\n", n_files, runs);
  return 0;
}

#endif
