#include "kws_cpu.h"
#include "kws_nn.h"
#include "kws_packed.h"

#if KWS_DSP

// Groups of weights as kws_dot4_s8 wants them: four starting values, then a word for each output and four inputs.
static uint32_t* unpack(const kws_conv2d_dot4_packed* layer, int n_groups, int n_words, uint32_t* words) {
  int32_t at = 0;
  for (int group = 0; group < n_groups; ++group, words += 4 + 4 * n_words) {
    for (int i = 0; i < 4; ++i) words[i] = 0;
    for (int i = 0; i < 4 * n_words; ++i, at += 4) {
      int32_t w[4];
      for (int k = 0; k < 4; ++k) w[k] = kws_packed_weight(layer->packed_weights, at + k, layer->weight_bits);
      words[i % 4] -= 127u * (uint32_t)(w[0] + w[2]);
      words[4 + i] = ((uint32_t)(w[3] * 256 + w[2]) << 16) | ((uint32_t)(w[1] * 256 + w[0]) & 0xFFFFu);
    }
  }
  return words;
}

void kws_conv2d_dot4_packed_rows_s8(const kws_conv2d_dot4_packed* layer, int first_row, int end_row,
                                    const int8_t* input, int8_t* output, void* scratch) {
  const kws_conv2d* l = &layer->conv;
  const int n_words = (l->kernel_height * l->kernel_width * l->input_channels + 3) / 4;
  uint32_t* const words = scratch;
  uint32_t* const patch = unpack(layer, (l->output_channels + 3) / 4, n_words, words);
  const kws_conv2d_dot4 unpacked = {.conv = *l, .packed_weights = words};
  kws_conv2d_dot4_rows_s8(&unpacked, first_row, end_row, input, output, patch);
}

#endif
