#include "kws_cpu.h"
#include "kws_math.h"
#include "kws_nn.h"

#if KWS_DSP

// Where the taps of the kernel at (top, left) lie in the input; outside it they see a row of zero points.
static void find_taps(const kws_conv2d* l, int top, int left, const int8_t* input, const int8_t* outside,
                      const int8_t** taps) {
  for (int y = top; y < top + l->kernel_height; ++y) {
    for (int x = left; x < left + l->kernel_width; ++x) {
      const int inside = y >= 0 && y < l->input_height && x >= 0 && x < l->input_width;
      *taps++ = inside ? input + (y * l->input_width + x) * l->input_channels : outside;
    }
  }
}

// Four channels at a time, two taps in one multiplication.
void kws_depthwise_taps_s8(const kws_depthwise_taps* layer, const int8_t* input, int8_t* output, void* scratch) {
  const kws_conv2d* l = &layer->conv;
  const kws_narrow_outputs outputs = {l->bias,          l->multiplier,     l->shift,
                                      l->output_offset, l->activation_min, l->activation_max};
  const int channels = l->output_channels, n_taps = l->kernel_height * l->kernel_width, n_pairs = (n_taps + 1) / 2;
  const int8_t** const taps = scratch;
  int8_t* const outside = (int8_t*)(taps + 2 * n_pairs);
  for (int c = 0; c < channels; ++c) outside[c] = (int8_t)-l->input_offset;
  taps[2 * n_pairs - 1] = outside;  // of an odd number of taps: its weight is 0
  for (int y = 0; y < l->output_height; ++y) {
    for (int x = 0; x < l->output_width; ++x) {
      find_taps(l, y * l->stride_height - l->pad_top, x * l->stride_width - l->pad_left, input, outside, taps);
      const uint32_t* w = layer->packed_weights;
      for (int c = 0; c < channels; c += 4) {
        int32_t sums[4] = {0};
        for (int i = 0; i < n_pairs; ++i, w += 4) {
          const uint32_t a = kws_load_word(taps[2 * i] + c), b = kws_load_word(taps[2 * i + 1] + c);
          const uint32_t even_a = kws_signed_even_bytes(a), even_b = kws_signed_even_bytes(b);
          const uint32_t odd_a = kws_signed_odd_bytes(a), odd_b = kws_signed_odd_bytes(b);
          sums[0] = kws_dual_multiply_add(KWS_PACK_LOW(even_a, even_b, 16), w[0], sums[0]);
          sums[1] = kws_dual_multiply_add(KWS_PACK_LOW(odd_a, odd_b, 16), w[1], sums[1]);
          sums[2] = kws_dual_multiply_add(KWS_PACK_HIGH(even_b, even_a, 16), w[2], sums[2]);
          sums[3] = kws_dual_multiply_add(KWS_PACK_HIGH(odd_b, odd_a, 16), w[3], sums[3]);
        }
        for (int i = 0; i < 4; ++i) *output++ = kws_narrow_output(outputs, c + i, sums[i]);
      }
    }
  }
}

#endif
