// The input of kws_conv2d_pairs: rows of bytes become rows of pairs of columns.
#ifndef KWS_PAIRS_H_
#define KWS_PAIRS_H_

#include "kws_cpu.h"
#include "kws_nn.h"

#if KWS_DSP

enum { HEAD_WORDS = KWS_PAIRS_HEAD_WORDS, BLOCK_WORDS = KWS_PAIRS_BLOCK_WORDS };

// input + 128: the input with its sign bit turned over.
static const uint32_t sign_bits = 0x80808080u;

// Four columns become two words of two columns each: columns 0 and 2, columns 1 and 3.
// The low half of x, and above it the high half of x << 5. (For KWS_PACK_LOW(x, x, 5) compilers copy x.)
static inline uint32_t spread_by_5(uint32_t x) {
  uint32_t y;
  __asm("pkhbt %0, %1, %1, lsl #5" : "=r"(y) : "r"(x));
  return y;
}

static inline uint32_t even_pair(uint32_t bytes) { return spread_by_5(kws_even_bytes(bytes)); }
static inline uint32_t odd_pair(uint32_t bytes) { return spread_by_5(kws_odd_bytes(bytes)); }

// Group m of a row is the columns 4m + 2 - pad_left ... 4m + 5 - pad_left. The head takes groups 0..2, block k takes
// groups 4k + 2 ... 4k + 6, the even words first. Only the first group and the last may hang over the edge: they are
// loaded from inside and shifted, and the zero point takes the place of what is outside.
static inline void widen_row(const kws_conv2d_pairs* l, const int8_t* row, uint32_t* head, uint32_t* block) {
  const uint32_t zero_bytes = (uint32_t)l->input_zero * 0x01010101u;
  const int left_outside = l->pad_left - 2, right_outside = 16 * l->blocks + 12 - left_outside - l->input_width;
  uint32_t bytes = (kws_load_word(row) ^ sign_bits) << (8 * left_outside);
  bytes |= zero_bytes & ((1u << (8 * left_outside)) - 1u);
  row -= left_outside;
  head[0] = even_pair(bytes);
  head[3] = odd_pair(bytes);
  bytes = kws_load_word(row + 4) ^ sign_bits;
  head[1] = even_pair(bytes);
  head[4] = odd_pair(bytes);
  row += 8;
  bytes = kws_load_word(row) ^ sign_bits;
  uint32_t even = even_pair(bytes), odd = odd_pair(bytes);
  head[2] = even;
  head[5] = odd;
  for (int k = 0; k < l->blocks; ++k) {
    block[0] = even;
    block[5] = odd;
    for (int i = 1; i < 4; ++i) {
      bytes = kws_load_word(row + 4 * i) ^ sign_bits;
      block[i] = even_pair(bytes);
      block[5 + i] = odd_pair(bytes);
    }
    row += 16;
    const int outside = k == l->blocks - 1 && right_outside > 0 ? right_outside : 0;
    bytes = zero_bytes;
    if (outside < 4) bytes = (kws_load_word(row - outside) ^ sign_bits) >> (8 * outside);
    if (outside > 0 && outside < 4) bytes |= zero_bytes << (32 - 8 * outside);
    block[4] = even = even_pair(bytes);
    block[9] = odd = odd_pair(bytes);
    block += l->input_height * BLOCK_WORDS;
  }
}

// From pairs of columns that count from -128 to pairs that count from the input's zero point. n: even.
void kws_pairs_take_zero(uint32_t* pairs, int n, uint32_t zero);

static inline void widen_rows(const kws_conv2d_pairs* l, int first, int end, const int8_t* input, uint32_t* pairs) {
  uint32_t* const blocks = pairs + l->input_height * HEAD_WORDS;
  for (int row = first; row < end; ++row)
    widen_row(l, input + row * l->input_width, pairs + row * HEAD_WORDS, blocks + row * BLOCK_WORDS);
  if (l->input_zero == 0) return;
  const uint32_t zero = (uint32_t)l->input_zero;
  kws_pairs_take_zero(pairs + first * HEAD_WORDS, (end - first) * HEAD_WORDS, zero);
  for (int k = 0; k < l->blocks; ++k)
    kws_pairs_take_zero(blocks + (k * l->input_height + first) * BLOCK_WORDS, (end - first) * BLOCK_WORDS, zero);
}

#endif

#endif
