#include "kws_math.h"
#include "kws_nn.h"

// Output channel c sees input channel c / (output channels for each input channel).
void kws_depthwise_conv2d_s8(const kws_conv2d* l, const int8_t* input, int8_t* output) {
  const int channels = l->output_channels, multiple = channels / l->input_channels;
  for (int y = 0; y < l->output_height; ++y) {
    for (int x = 0; x < l->output_width; ++x) {
      const int top = y * l->stride_height - l->pad_top, left = x * l->stride_width - l->pad_left;
      const int ky_first = top < 0 ? -top : 0, kx_first = left < 0 ? -left : 0;
      const int ky_end = kws_clamp(l->input_height - top, 0, l->kernel_height);
      const int kx_end = kws_clamp(l->input_width - left, 0, l->kernel_width);
      for (int c = 0; c < channels; ++c) {
        int32_t sum = l->bias[c];
        for (int ky = ky_first; ky < ky_end; ++ky) {
          const int8_t* in = input + ((top + ky) * l->input_width + left) * l->input_channels + c / multiple;
          const int8_t* w = l->weights + ky * l->kernel_width * channels + c;
          for (int kx = kx_first; kx < kx_end; ++kx)
            sum += (in[kx * l->input_channels] + l->input_offset) * w[kx * channels];
        }
        const int32_t q = kws_requantize(sum, l->multiplier[c], l->shift[c]) + l->output_offset;
        *output++ = (int8_t)kws_clamp(q, l->activation_min, l->activation_max);
      }
    }
  }
}
