#include "kws_nn.h"
#include "kws_packed.h"

void kws_conv2d_packed_rows_s8(const kws_conv2d_packed* layer, int first_row, int end_row, const int8_t* input,
                               int8_t* output, void* scratch) {
  kws_conv2d l = layer->conv;
  int8_t* const weights = scratch;
  const int32_t n = (int32_t)l.output_channels * l.kernel_height * l.kernel_width * l.input_channels;
  for (int32_t i = 0; i < n; ++i)
    weights[i] = (int8_t)kws_packed_weight(layer->packed_weights, i, layer->weight_bits);
  l.weights = weights;
  kws_conv2d_rows_s8(&l, first_row, end_row, input, output);
}
