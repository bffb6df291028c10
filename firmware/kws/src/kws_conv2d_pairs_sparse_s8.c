#include <stdbool.h>
#include <string.h>

#include "kws_cpu.h"
#include "kws_nn.h"
#include "kws_pairs.h"

#if KWS_DSP

static inline int lowest(uint32_t bits) { return __builtin_ctz(bits); }

static inline int count(uint32_t bits) {
  int n = 0;
  for (; bits; bits &= bits - 1) ++n;
  return n;
}

static inline uint32_t rows_from(int first, int end) { return end > first ? (2u << (end - 1)) - (1u << first) : 0; }

// What some output rows see of the input.
static void widen_seen(const kws_conv2d_pairs_sparse* l, uint32_t wanted, const int8_t* input, uint32_t* pairs) {
  int first = 0, end = 0;
  for (; wanted; wanted &= wanted - 1) {
    const kws_pairs_row row = l->pairs.rows[lowest(wanted)];
    if (row.input_row > end) {
      widen_rows(&l->pairs, first, end, input, pairs);
      first = row.input_row;
    }
    end = row.input_row + row.kernel_rows;
  }
  if (end <= l->image_height) {
    widen_rows(&l->pairs, first, end, input, pairs);
    return;
  }
  widen_rows(&l->pairs, first, l->image_height, input, pairs);
  const int below = l->pairs.input_height - l->image_height;
  uint32_t* const blocks = pairs + l->pairs.input_height * HEAD_WORDS;
  memset(pairs + l->image_height * HEAD_WORDS, 0, (size_t)(below * HEAD_WORDS) * sizeof *pairs);
  for (int k = 0; k < l->pairs.blocks; ++k)
    memset(blocks + (k * l->pairs.input_height + l->image_height) * BLOCK_WORDS, 0,
           (size_t)(below * BLOCK_WORDS) * sizeof *pairs);
}

// For each wanted output row what the filter's function takes. Returns how many.
static int list_rows(const kws_conv2d_pairs_sparse* l, uint32_t units, uint32_t wanted, uint32_t* list) {
  int n = 0;
  if (l->filter_words > 0) {
    for (; wanted; wanted &= wanted - 1) __builtin_memcpy(list + n++, l->pairs.rows + lowest(wanted), sizeof *list);
    return n;
  }
  uint32_t above = 32, first = 0, n_units = 0;
  for (; wanted; wanted &= wanted - 1) {
    const kws_pairs_row row = l->pairs.rows[lowest(wanted)];
    if (row.shift != above) {
      above = row.shift;
      const uint32_t inside = (units & 0xFFFFFFu) >> (2 * above);
      first = inside ? (uint32_t)lowest(inside) : 0;
      n_units = (uint32_t)count(inside);
    }
    list[n++] = (2u * row.input_row + first) | n_units << 16;
  }
  return n;
}

// n_bytes: 8 n + 4, n > 0. Both at a multiple of 4.
static inline void copy_row(int8_t* to, const int8_t* from, int n_bytes) {
  const uint32_t* word = (const uint32_t*)(const void*)from;
  uint32_t* at = (uint32_t*)(void*)to;
  const uint32_t* const end = word + n_bytes / 4;
  *at++ = *word++;
  do {
    const uint32_t first = word[0], second = word[1];
    at[0] = first;
    at[1] = second;
    word += 2;
    at += 2;
  } while (word < end);
}

// The rows of one channel that are still good, and those to compute, now that the window has moved.
static inline uint32_t missing_rows(const kws_conv2d_pairs_sparse* l, int moved_rows, uint32_t read, uint32_t* valid) {
  const uint32_t inner = rows_from(l->first_inner, l->end_inner);
  const uint32_t still = (*valid & inner) >> moved_rows & inner;
  const uint32_t newest = rows_from(l->end_inner - moved_rows, l->end_inner);
  const uint32_t read_inner = read & inner, first_read = read_inner & (0u - read_inner); // above it nothing is read
  const uint32_t wanted = (read | (first_read ? newest & ~(first_read - 1u) : 0)) & ~still;
  *valid = still | (wanted & inner);
  return wanted;
}

// The wanted rows of one channel, one after the other. Returns the filter behind this one.
static const uint32_t* filter_rows(const kws_conv2d_pairs_sparse* l, const uint32_t* filter, uint32_t wanted,
                                   const uint32_t* pairs, uint32_t* list, int8_t* output) {
  const kws_pairs_job job = {
      .filter = (const kws_pairs_filter*)filter,
      .rows = (const kws_pairs_row*)list,
      .n_rows = list_rows(l, *filter, wanted, list),
      .head = pairs,
      .blocks = pairs + l->pairs.input_height * HEAD_WORDS,
      .block_bytes = l->pairs.input_height * BLOCK_WORDS * (int)sizeof(uint32_t),
      .n_blocks = l->pairs.blocks,
      .output = output,
      .skip_bytes = 0,
  };
  if (job.n_rows > 0) l->filter_rows(&job);
  return filter + (l->filter_words > 0 ? (uint32_t)l->filter_words : 5 + 2 * (*filter >> 24));
}

const int8_t* kws_conv2d_pairs_sparse_s8(const kws_conv2d_pairs_sparse* l, int moved_rows, const int8_t* input,
                                         int8_t* kept, void* scratch) {
  const int width = l->pairs.output_width, channels = l->pairs.output_channels;
  uint32_t* const pairs = scratch;
  uint32_t* const wanted = pairs + l->pairs.input_height * (HEAD_WORDS + BLOCK_WORDS * l->pairs.blocks);
  uint32_t* const list = wanted + channels;
  uint32_t* const valid = (uint32_t*)(void*)(kept + channels * l->output_height * width);
  uint32_t anywhere = 0, everywhere = rows_from(0, l->output_height);
  const uint32_t inner = rows_from(l->first_inner, l->end_inner);
  for (int c = 0; c < channels; ++c) {
    wanted[c] = moved_rows > 0 ? missing_rows(l, moved_rows, l->read_rows[c], valid + c) : l->read_rows[c];
    anywhere |= wanted[c];
    everywhere &= l->read_rows[c];
  }
  const bool all = everywhere == rows_from(0, l->output_height);
  if (anywhere) widen_seen(l, anywhere, input, pairs);
  const uint32_t* filter = l->filters;
  if (moved_rows == 0) {
    int8_t* output = kept;
    for (int c = 0; c < channels; ++c) {
      filter = filter_rows(l, filter, wanted[c], pairs, list, output);
      output += count(wanted[c]) * width;
      valid[c] = all ? inner : 0;
    }
    return kept;
  }
  const int channel_bytes = l->output_height * width;
  const size_t still_bytes = (size_t)((l->end_inner - l->first_inner - moved_rows) * width);
  int8_t *map = kept, *read = scratch;
  for (int c = 0; c < channels; ++c, map += channel_bytes) {
    int8_t* const first = map + l->first_inner * width;
    memmove(first, first + moved_rows * width, still_bytes);
    int8_t* from = (int8_t*)(list + l->output_height);
    filter = filter_rows(l, filter, wanted[c], pairs, list, from);
    for (uint32_t rows = wanted[c]; rows; rows &= rows - 1, from += width)
      copy_row(map + lowest(rows) * width, from, width);
  }
  if (all) return kept;
  map = kept;
  for (int c = 0; c < channels; ++c, map += channel_bytes)
    for (uint32_t rows = l->read_rows[c]; rows; rows &= rows - 1, read += width)
      copy_row(read, map + lowest(rows) * width, width);
  return scratch;
}

#endif
