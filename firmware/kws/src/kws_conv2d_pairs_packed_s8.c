#include "kws_cpu.h"
#include "kws_nn.h"
#include "kws_pairs.h"

#if KWS_DSP

static inline void keep_upper_bits(int8_t* bytes, int down, uint32_t mask, uint32_t turned) {
  const uint32_t word = (kws_load_word(bytes) >> down & mask) ^ turned;
  __builtin_memcpy(bytes, &word, sizeof word);
}

// Of every byte, a number with a sign, the upper bits become a code that counts up from -128. n_bytes: a multiple of 4.
static void shift_down(int8_t* bytes, int n_bytes, int down) {
  const uint32_t ones = 0x01010101u, mask = ones * (0xFFu >> down), turned = ones * (0x80u | 0x80u >> down);
  const int8_t* const end = bytes + n_bytes;
  for (; n_bytes % 16 > 0; n_bytes -= 4, bytes += 4) keep_upper_bits(bytes, down, mask, turned);
  for (; bytes < end; bytes += 16) {
    KWS_KEEP(bytes);
    keep_upper_bits(bytes, down, mask, turned);
    keep_upper_bits(bytes + 4, down, mask, turned);
    keep_upper_bits(bytes + 8, down, mask, turned);
    keep_upper_bits(bytes + 12, down, mask, turned);
  }
}

void kws_conv2d_pairs_packed_rows_s8(const kws_conv2d_pairs_packed* layer, int first_row, int end_row,
                                     const int8_t* input, int8_t* output, uint32_t* pairs) {
  const kws_conv2d_pairs* l = &layer->pairs;
  if (first_row >= end_row) return;
  const kws_pairs_row *first = l->rows + first_row, *last = l->rows + end_row - 1;
  widen_rows(l, first->input_row, last->input_row + last->kernel_rows, input, pairs);
  const int row_bytes = l->output_channels * l->output_width;
  uint32_t* const blocks = pairs + l->input_height * HEAD_WORDS;
  uint32_t* const words = blocks + l->input_height * BLOCK_WORDS * l->blocks;
  kws_pairs_job job = {
      .filter = (const kws_pairs_filter*)words,
      .rows = first,
      .n_rows = end_row - first_row,
      .head = pairs,
      .blocks = blocks,
      .block_bytes = l->input_height * BLOCK_WORDS * (int)sizeof(uint32_t),
      .n_blocks = l->blocks,
      .output = output + first_row * row_bytes,
      .skip_bytes = row_bytes - l->output_width,
  };
  const uint32_t* packed = layer->packed_filters;
  for (int c = 0; c < l->output_channels; ++c) {
    packed = layer->weight_bits == 4 ? kws_unpack_pairs_w4(packed, words, layer->mask, layer->offset)
                                     : kws_unpack_pairs_w2(packed, words, layer->mask, layer->offset);
    kws_pairs_filter_rows(&job);
    job.output += l->output_width;
  }
  if (layer->down > 0) shift_down(output + first_row * row_bytes, (end_row - first_row) * row_bytes, layer->down);
}

#endif
