#include "kws_math.h"
#include "kws_nn.h"

// The mean of the inputs inside the image, half away from zero. Scale and zero point stay.
void kws_average_pool_s8(const kws_conv2d* l, const int8_t* input, int8_t* output) {
  const int channels = l->input_channels;
  for (int y = 0; y < l->output_height; ++y) {
    for (int x = 0; x < l->output_width; ++x) {
      const int top = y * l->stride_height - l->pad_top, left = x * l->stride_width - l->pad_left;
      const int y_first = top < 0 ? 0 : top, x_first = left < 0 ? 0 : left;
      const int y_end = kws_clamp(top + l->kernel_height, 0, l->input_height);
      const int x_end = kws_clamp(left + l->kernel_width, 0, l->input_width);
      const int32_t n = (y_end - y_first) * (x_end - x_first);
      for (int c = 0; c < channels; ++c) {
        int32_t sum = 0;
        for (int i = y_first; i < y_end; ++i)
          for (int j = x_first; j < x_end; ++j) sum += input[(i * l->input_width + j) * channels + c];
        const int32_t mean = (sum > 0 ? sum + n / 2 : sum - n / 2) / n;
        *output++ = (int8_t)kws_clamp(mean, l->activation_min, l->activation_max);
      }
    }
  }
}
