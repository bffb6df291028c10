#include "kws_cpu.h"
#include "kws_nn.h"
#include "kws_pairs.h"

#if KWS_DSP

KWS_SMALL void kws_pairs_take_zero(uint32_t* pairs, int n, uint32_t zero) {
  const uint32_t zeros = zero | zero << 21;
  for (uint32_t* const end = pairs + n; pairs < end; pairs += 2) {
    pairs[0] -= zeros;
    pairs[1] -= zeros;
  }
}

void kws_conv2d_pairs_rows_s8(const kws_conv2d_pairs* l, int first_row, int end_row, const int8_t* input,
                              int8_t* output, uint32_t* pairs) {
  if (first_row >= end_row) return;
  const kws_pairs_row *first = l->rows + first_row, *last = l->rows + end_row - 1;
  widen_rows(l, first->input_row, last->input_row + last->kernel_rows, input, pairs);
  const int row_bytes = l->output_channels * l->output_width;
  for (int c = 0; c < l->output_channels; ++c) {
    const kws_pairs_job job = {
        .filter = l->filters + c,
        .rows = first,
        .n_rows = end_row - first_row,
        .head = pairs,
        .blocks = pairs + l->input_height * HEAD_WORDS,
        .block_bytes = l->input_height * BLOCK_WORDS * (int)sizeof(uint32_t),
        .n_blocks = l->blocks,
        .output = output + first_row * row_bytes + c * l->output_width,
        .skip_bytes = row_bytes - l->output_width,
    };
    kws_pairs_filter_rows(&job);
  }
}

#endif
