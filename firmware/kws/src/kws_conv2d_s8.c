#include "kws_math.h"
#include "kws_nn.h"

// The sum of one output: the kernel laid on the input at (top, left), the part that hangs over the edge left out.
static int32_t dot(const kws_conv2d* l, const int8_t* input, const int8_t* weights, int top, int left) {
  int32_t sum = 0;
  for (int ky = 0; ky < l->kernel_height; ++ky) {
    const int y = top + ky;
    if (y < 0 || y >= l->input_height) continue;
    for (int kx = 0; kx < l->kernel_width; ++kx) {
      const int x = left + kx;
      if (x < 0 || x >= l->input_width) continue;
      const int8_t* in = input + (y * l->input_width + x) * l->input_channels;
      const int8_t* w = weights + (ky * l->kernel_width + kx) * l->input_channels;
      for (int c = 0; c < l->input_channels; ++c) sum += (in[c] + l->input_offset) * w[c];
    }
  }
  return sum;
}

void kws_conv2d_rows_s8(const kws_conv2d* l, int first_row, int end_row, const int8_t* input, int8_t* output) {
  const int filter_size = l->kernel_height * l->kernel_width * l->input_channels;
  output += first_row * l->output_width * l->output_channels;
  for (int y = first_row; y < end_row; ++y) {
    for (int x = 0; x < l->output_width; ++x) {
      for (int c = 0; c < l->output_channels; ++c) {
        const int32_t sum = l->bias[c] + dot(l, input, l->weights + c * filter_size,
                                             y * l->stride_height - l->pad_top, x * l->stride_width - l->pad_left);
        const int32_t q = kws_requantize(sum, l->multiplier[c], l->shift[c]) + l->output_offset;
        *output++ = (int8_t)kws_clamp(q, l->activation_min, l->activation_max);
      }
    }
  }
}

void kws_conv2d_s8(const kws_conv2d* l, const int8_t* input, int8_t* output) {
  kws_conv2d_rows_s8(l, 0, l->output_height, input, output);
}
