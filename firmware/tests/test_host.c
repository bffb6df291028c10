// Whole clips at once, side by side, give the rows that the streaming front end gives, at both ends of every buffer.
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kws_frontend.h"
#include "kws_host.h"

// Noise whose loudness differs from stretch to stretch, exactly as long as needed, so reading beyond is seen.
static int16_t* make_noise(size_t n) {
  static uint32_t state = 1;
  int16_t* samples = malloc(n * sizeof *samples);
  if (!samples) abort();
  for (size_t i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;
    samples[i] = (int16_t)((int32_t)(int16_t)(state >> 16) >> (i / 700 % 15));
  }
  return samples;
}

static void check_batch(size_t n_clips, size_t n_samples, uint16_t step) {
  const size_t n_rows = n_clips * (1 + (n_samples - KWS_WINDOW_SAMPLES) / step);
  int16_t* clips = make_noise(n_clips * n_samples);
  uint16_t* rows = malloc(n_rows * KWS_CHANNELS * sizeof *rows);
  uint16_t expected[KWS_CHANNELS];
  if (!rows) abort();
  CHECK(kws_host_features(clips, n_clips, n_samples, step, rows) == KWS_OK);
  size_t row = 0, consumed = 0;
  kws_frontend frontend;
  for (size_t clip = 0; clip < n_clips; ++clip) {
    CHECK(kws_frontend_init(&frontend, step) == KWS_OK);
    for (size_t at = 0; at < n_samples; at += consumed)
      if (kws_frontend_process(&frontend, clips + clip * n_samples + at, n_samples - at, &consumed, expected))
        CHECK(memcmp(rows + KWS_CHANNELS * row++, expected, sizeof expected) == 0);
  }
  CHECK(row == n_rows);
  free(rows);
  free(clips);
}

static void check_augment(int32_t shift, float volume) {
  enum { SAMPLES = 1000 };
  int16_t* clip = make_noise(SAMPLES);
  int16_t* noise = make_noise(SAMPLES + 3);
  int16_t* out = malloc(SAMPLES * sizeof *out);
  const int64_t start = 3;
  if (!out) abort();
  kws_host_augment(clip, 1, SAMPLES, &shift, noise, &start, &volume, out);
  for (int32_t i = 0; i < SAMPLES; ++i) {
    const int32_t from = i - shift;
    const float mixed = (from >= 0 && from < SAMPLES ? clip[from] : 0) + (volume > 0 ? volume * noise[start + i] : 0);
    const float most = mixed < -32768 ? -32768 : mixed > 32767 ? 32767 : mixed;
    CHECK(out[i] >= most - 0.5f && out[i] <= most + 0.5f);
  }
  free(out);
  free(noise);
  free(clip);
}

int main(void) {
  uint16_t row[KWS_CHANNELS];
  int16_t* window = make_noise(KWS_WINDOW_SAMPLES);
  CHECK(kws_host_features(window, 1, KWS_WINDOW_SAMPLES, 0, row) == KWS_BAD_ARGUMENT);
  CHECK(kws_host_features(window, 1, KWS_WINDOW_SAMPLES, KWS_WINDOW_SAMPLES + 1, row) == KWS_BAD_ARGUMENT);
  CHECK(kws_host_features(window, 1, KWS_WINDOW_SAMPLES - 1, KWS_STEP_SAMPLES, row) == KWS_BAD_ARGUMENT);
  CHECK(kws_host_features(window, 0, KWS_WINDOW_SAMPLES, KWS_STEP_SAMPLES, row) == KWS_OK);
  free(window);
  const size_t samples[] = {KWS_WINDOW_SAMPLES, KWS_WINDOW_SAMPLES + 1, 4000, KWS_CLIP_SAMPLES};
  const uint16_t steps[] = {KWS_STEP_SAMPLES, 160, KWS_WINDOW_SAMPLES, 77};
  for (size_t i = 0; i < sizeof samples / sizeof *samples; ++i)
    for (size_t k = 0; k < sizeof steps / sizeof *steps; ++k)
      for (size_t clips = 1; clips <= 17; clips += 8) check_batch(clips, samples[i], steps[k]);
  const int32_t shifts[] = {0, 1, -1, 100, -999, 1000, -1000};
  for (size_t i = 0; i < sizeof shifts / sizeof *shifts; ++i)
    for (int volume = 0; volume <= 4; ++volume) check_augment(shifts[i], 0.25f * (float)volume);
  return failures;
}
