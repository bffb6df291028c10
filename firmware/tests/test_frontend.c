// The front end against golden features: test_frontend CLIP GOLDEN, int16 samples and uint16 rows, little-endian.
// Every clip runs twice through one front end, and again in pieces of odd sizes: nothing may be left behind in it.
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kws_frontend.h"

enum { LIMIT = 1 << 20 };

static size_t read_words(const char* path, uint16_t* words) {
  FILE* file = fopen(path, "rb");
  if (!file) abort();
  const size_t n = fread(words, 2, LIMIT, file);
  fclose(file);
  return n;
}

// Feeds pieces of the given size; returns how many rows came out.
static size_t run(kws_frontend* frontend, const int16_t* samples, size_t n, size_t piece, uint16_t* rows) {
  size_t n_rows = 0;
  for (size_t at = 0; at < n;) {
    const size_t offered = n - at < piece ? n - at : piece;
    size_t consumed = 0;
    int16_t* copy = malloc(offered * sizeof *copy);  // exactly as long, so reading beyond is seen
    if (!copy) abort();
    memcpy(copy, samples + at, offered * sizeof *copy);
    if (kws_frontend_process(frontend, copy, offered, &consumed, rows + n_rows * KWS_CHANNELS)) ++n_rows;
    free(copy);
    CHECK(consumed > 0 && consumed <= offered);
    at += consumed;
  }
  return n_rows;
}

int main(int argc, char** argv) {
  static uint16_t clip[LIMIT], golden[LIMIT], rows[LIMIT];
  static int16_t samples[LIMIT];
  static kws_frontend frontend;
  if (argc != 3) return 2;
  const size_t n = read_words(argv[1], clip), n_golden = read_words(argv[2], golden);
  memcpy(samples, clip, n * sizeof *samples);

  CHECK(kws_frontend_init(NULL, KWS_STEP_SAMPLES) == KWS_BAD_ARGUMENT);
  CHECK(kws_frontend_init(&frontend, 0) == KWS_BAD_ARGUMENT);
  CHECK(kws_frontend_init(&frontend, KWS_WINDOW_SAMPLES + 1) == KWS_BAD_ARGUMENT);
  CHECK(kws_frontend_init(&frontend, KWS_STEP_SAMPLES) == KWS_OK);
  const size_t pieces[] = {n, n, 1, 7, 160, 481, 1023};
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; ++i) {
    kws_frontend_reset(&frontend);
    memset(rows, 0xA5, sizeof rows);
    const size_t n_rows = run(&frontend, samples, n, pieces[i], rows);
    CHECK(n_rows * KWS_CHANNELS == n_golden);
    CHECK(memcmp(rows, golden, n_golden * sizeof *rows) == 0);
  }
  return failures;
}
