#include "kws_nn.h"

static int8_t* fill(int8_t* output, int32_t n, int8_t value) {
  while (n-- > 0) *output++ = value;
  return output;
}

void kws_pad_s8(const kws_pad* l, const int8_t* input, int8_t* output) {
  const int32_t pixel = l->before_channels + l->channels + l->after_channels;
  const int32_t row = (l->before_columns + l->width + l->after_columns) * pixel;
  output = fill(output, l->before_rows * row, l->value);
  for (int32_t y = 0; y < l->height; ++y) {
    output = fill(output, l->before_columns * pixel, l->value);
    for (int32_t x = 0; x < l->width; ++x) {
      output = fill(output, l->before_channels, l->value);
      for (int32_t c = 0; c < l->channels; ++c) *output++ = *input++;
      output = fill(output, l->after_channels, l->value);
    }
    output = fill(output, l->after_columns * pixel, l->value);
  }
  fill(output, l->after_rows * row, l->value);
}
