#include "kws_cpu.h"
#include "kws_math.h"
#include "kws_nn.h"

#if KWS_DSP

static int8_t* copy(int8_t* to, const int8_t* from, int n) {
  for (; n >= 4; n -= 4, to += 4, from += 4) __builtin_memcpy(to, from, 4);
  while (n-- > 0) *to++ = *from++;
  return to;
}

static int8_t* fill(int8_t* to, int n, int8_t value) {
  while (n-- > 0) *to++ = value;
  return to;
}

// The inputs under the kernel at (top, left), one row of the kernel after the other; the input's zero point outside.
static void gather(const kws_conv2d* l, int top, int left, const int8_t* input, int8_t* patch) {
  const int8_t zero = (int8_t)-l->input_offset;
  const int before = left < 0 ? -left : 0, inside = kws_clamp(l->input_width - left, 0, l->kernel_width) - before;
  const int after = l->kernel_width - before - inside;
  for (int y = top; y < top + l->kernel_height; ++y) {
    if (y < 0 || y >= l->input_height) {
      patch = fill(patch, l->kernel_width * l->input_channels, zero);
      continue;
    }
    patch = fill(patch, before * l->input_channels, zero);
    const int8_t* in = input + (y * l->input_width + left + before) * l->input_channels;
    patch = copy(patch, in, inside * l->input_channels);
    patch = fill(patch, after * l->input_channels, zero);
  }
}

void kws_conv2d_dot4_rows_s8(const kws_conv2d_dot4* layer, int first_row, int end_row, const int8_t* input,
                             int8_t* output, void* scratch) {
  const kws_conv2d* l = &layer->conv;
  const kws_narrow_outputs outputs = {l->bias,          l->multiplier,     l->shift,
                                      l->output_offset, l->activation_min, l->activation_max};
  const int n = l->kernel_height * l->kernel_width * l->input_channels, n_words = (n + 3) / 4;
  const int in_place = l->kernel_height * l->kernel_width == 1 && n % 4 == 0 && l->pad_top == 0 && l->pad_left == 0;
  const int channels = l->output_channels;
  int8_t* const patch = scratch;
  for (int i = n; i < 4 * n_words; ++i) patch[i] = 0;
  output += first_row * l->output_width * channels;
  for (int y = first_row; y < end_row; ++y) {
    for (int x = 0; x < l->output_width; ++x) {
      const int top = y * l->stride_height - l->pad_top, left = x * l->stride_width - l->pad_left;
      const int8_t* in = in_place ? input + (top * l->input_width + left) * n : patch;
      if (!in_place) gather(l, top, left, input, patch);
      const uint32_t* group = layer->packed_weights;
      int32_t sums[4];
      int c = 0;
      for (; c + 4 <= channels; c += 4, group += 4 + 4 * n_words) {
        kws_dot4_s8(in, group, n_words, sums);
        for (int i = 0; i < 4; ++i) *output++ = kws_narrow_output(outputs, c + i, sums[i]);
      }
      if (c == channels) continue;
      kws_dot4_s8(in, group, n_words, sums);
      for (int i = 0; c + i < channels; ++i) *output++ = kws_narrow_output(outputs, c + i, sums[i]);
    }
  }
}

#endif
