#include "kws_step.h"

#include <arm_acle.h>

#include "kws_math.h"

static int8_t requantize(const kws_conv2d* l, int channel, int32_t sum) {
  const int32_t q = kws_requantize(sum, l->multiplier[channel], l->shift[channel]) + l->output_offset;
  return (int8_t)kws_clamp(q, l->activation_min, l->activation_max);
}

void kws_step_loops_s8(const kws_conv2d* l, const int8_t* input, int8_t* output) {
  const int height = l->kernel_height, width = l->kernel_width, columns = l->input_width, offset = l->input_offset;
  for (int y = 0; y < l->output_height; ++y) {
    const int top = y * l->stride_height - l->pad_top;
    const int first_row = kws_clamp(-top, 0, height), end_row = kws_clamp(l->input_height - top, 0, height);
    for (int x = 0; x < l->output_width; ++x) {
      const int left = x * l->stride_width - l->pad_left;
      const int first = kws_clamp(-left, 0, width), n = kws_clamp(columns - left, 0, width) - first;
      for (int c = 0; c < l->output_channels; ++c) {
        const int8_t* in = input + (top + first_row) * columns + left + first;
        const int8_t* w = l->weights + (c * height + first_row) * width + first;
        int32_t sum = l->bias[c];
        for (int ky = first_row; ky < end_row; ++ky, in += columns, w += width)
          for (int i = 0; i < n; ++i) sum += (in[i] + offset) * w[i];
        *output++ = requantize(l, c, sum);
      }
    }
  }
}

// What the kernel sees of a row when it moves along it, the part outside the image included.
static int wide_columns(const kws_conv2d* l) { return 2 * l->output_width + 2 * KWS_STEP_WORDS - 2; }

// input - zero point as 16 bits, with zeros where the kernel hangs over the left and right edge.
static void widen(const kws_conv2d* l, const int8_t* input, int16_t* wide) {
  const int right = wide_columns(l) - l->pad_left - l->input_width;
  for (int y = 0; y < l->input_height; ++y) {
    for (int x = 0; x < l->pad_left; ++x) *wide++ = 0;
    for (int x = 0; x < l->input_width; ++x) *wide++ = (int16_t)(*input++ + l->input_offset);
    for (int x = 0; x < right; ++x) *wide++ = 0;
  }
}

static inline uint32_t pair(const int16_t* columns) {
  uint32_t word;
  __builtin_memcpy(&word, columns, sizeof word);
  return word;
}

// The rows of the kernel that lie inside the image when it is laid on at output row y.
typedef struct {
  int first, end;
  const int16_t* in;  // the input row under the first of them
} kernel_rows;

static kernel_rows rows_inside(const kws_conv2d* l, int y, const int16_t* wide) {
  const int top = y * l->stride_height - l->pad_top, below = l->input_height - top;
  const int first = top < 0 ? -top : 0, end = below < l->kernel_height ? below : l->kernel_height;
  return (kernel_rows){first, end, wide + (top + first) * wide_columns(l)};
}

void kws_step_pairs_s8(const kws_step* layer, const int8_t* input, int8_t* output, int16_t* scratch) {
  const kws_conv2d* l = &layer->conv;
  const int columns = wide_columns(l);
  widen(l, input, scratch);
  for (int y = 0; y < l->output_height; ++y) {
    const kernel_rows rows = rows_inside(l, y, scratch);
    for (int x = 0; x < l->output_width; ++x) {
      for (int c = 0; c < l->output_channels; ++c) {
        const uint32_t* w = layer->pairs + (c * l->kernel_height + rows.first) * KWS_STEP_WORDS;
        const int16_t* in = rows.in + 2 * x;
        int32_t sum = l->bias[c];
        for (int ky = rows.first; ky < rows.end; ++ky, w += KWS_STEP_WORDS, in += columns)
          for (int i = 0; i < KWS_STEP_WORDS; ++i) sum = __smlad(pair(in + 2 * i), w[i], sum);
        *output++ = requantize(l, c, sum);
      }
    }
  }
}

// Four neighbouring sums of one filter. A row of the kernel takes 4 + 7 words for 16 SMLAD, where one output after the
// other takes 32.
static inline void four_sums(int32_t sums[4], const uint32_t* w, const int16_t* in, int n_rows, int columns) {
  int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
  for (; n_rows > 0; --n_rows, w += KWS_STEP_WORDS, in += columns) {
    for (int i = 0; i < KWS_STEP_WORDS; ++i) {
      a = __smlad(pair(in + 2 * i), w[i], a);
      b = __smlad(pair(in + 2 * i + 2), w[i], b);
      c = __smlad(pair(in + 2 * i + 4), w[i], c);
      d = __smlad(pair(in + 2 * i + 6), w[i], d);
    }
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}

static int8_t round_once(const kws_step* layer, int channel, int32_t sum) {
  const int64_t product = (int64_t)sum * layer->conv.multiplier[channel] + ((int64_t)layer->addend[channel] << 32);
  return (int8_t)__ssat((int32_t)(product >> 32) >> 7, 8);
}

static inline void blocked(const kws_step* layer, const int8_t* input, int8_t* output, int16_t* scratch, int rounded) {
  const kws_conv2d* l = &layer->conv;
  widen(l, input, scratch);
  for (int y = 0; y < l->output_height; ++y) {
    const kernel_rows rows = rows_inside(l, y, scratch);
    for (int x = 0; x < l->output_width; x += 4, output += 4 * l->output_channels) {
      for (int c = 0; c < l->output_channels; ++c) {
        int32_t sums[4] = {l->bias[c], l->bias[c], l->bias[c], l->bias[c]};
        four_sums(sums, layer->pairs + (c * l->kernel_height + rows.first) * KWS_STEP_WORDS, rows.in + 2 * x,
                  rows.end - rows.first, wide_columns(l));
        for (int i = 0; i < 4; ++i)
          output[i * l->output_channels + c] = rounded ? round_once(layer, c, sums[i]) : requantize(l, c, sums[i]);
      }
    }
  }
}

void kws_step_blocked_s8(const kws_step* layer, const int8_t* input, int8_t* output, int16_t* scratch) {
  blocked(layer, input, output, scratch, 0);
}

void kws_step_rounded_s8(const kws_step* layer, const int8_t* input, int8_t* output, int16_t* scratch) {
  blocked(layer, input, output, scratch, 1);
}
