// The int8 network kernels: TFLite's quantised operators, bit for bit.
//
// Tensors are NHWC with a batch of one. A real value is scale * (q - zero_point); an `offset` is a zero point with the
// sign that the arithmetic adds. Weights are symmetric (zero point 0), multipliers and shifts stand for
// input_scale * weight_scale / output_scale, one for each output channel (see kws_requantize).
#ifndef KWS_NN_H_
#define KWS_NN_H_

#include <stdint.h>

#include "kws_config.h"

typedef struct {
  int16_t input_height, input_width, input_channels;
  int16_t output_height, output_width, output_channels;
  int16_t kernel_height, kernel_width;
  int16_t stride_height, stride_width;
  int16_t pad_top, pad_left;
  int16_t input_offset;                   // minus the input's zero point, -127..128
  int16_t output_offset;                  // the output's zero point, -128..127
  int16_t activation_min, activation_max; // the clamp of the fused activation, -128..127
  const int8_t* weights;                  // [output_channels][kernel_height][kernel_width][input_channels]
  const int32_t* bias;                    // [output_channels]
  const int32_t* multiplier;              // [output_channels], 2^30..2^31 - 1, or 0
  const int8_t* shift;                    // [output_channels], -31..30
} kws_conv2d;

typedef struct {
  int32_t inputs, outputs;
  int16_t input_offset, output_offset;
  int16_t activation_min, activation_max;
  const int8_t* weights;      // [outputs][inputs]
  const int32_t* bias;        // [outputs]
  const int32_t* multiplier;  // [outputs]
  const int8_t* shift;        // [outputs]
} kws_fully_connected;

// With weights of 4 or 2 bits: two or four to a byte, the first in the lowest bits, in the order of the int8 ones.
typedef struct {
  int32_t inputs, outputs;
  int16_t input_offset, output_offset;
  int16_t activation_min, activation_max;
  int16_t weight_bits;            // 4 or 2
  const uint8_t* packed_weights;  // [(outputs * inputs * weight_bits + 7) / 8]
  const int32_t* bias;            // [outputs]
  const int32_t* multiplier;      // [outputs]
  const int8_t* shift;            // [outputs]
} kws_fully_connected_packed;

typedef struct {
  kws_conv2d conv;                // without weights
  int16_t weight_bits;            // 4 or 2
  const uint8_t* packed_weights;
} kws_conv2d_packed;

typedef struct {
  int32_t positions, channels;
  int32_t sum_offset;     // minus the input's zero point, times positions
  int32_t multiplier;     // input scale / output scale / positions
  int16_t shift;
  int16_t output_offset;
} kws_mean;

typedef struct {
  int32_t height, width, channels;  // of the input
  int32_t before_rows, after_rows;
  int32_t before_columns, after_columns;
  int32_t before_channels, after_channels;
  int8_t value;
} kws_pad;

typedef struct {
  int32_t size;
  int32_t multiplier;  // input scale << 26, as a mantissa ...
  int32_t shift;       // ... and an exponent, 0..30
  int32_t diff_min;    // differences to the largest input below this one give probability 0
} kws_softmax;

// --- plain C: the reference ------------------------------------------------------------------------------------------

// input: [input_height][input_width][input_channels], output: [output_height][output_width][output_channels].
void kws_conv2d_s8(const kws_conv2d* layer, const int8_t* input, int8_t* output);

// Only the output rows first_row .. end_row - 1; the others stay as they are.
void kws_conv2d_rows_s8(const kws_conv2d* layer, int first_row, int end_row, const int8_t* input, int8_t* output);

// input: [inputs], output: [outputs].
void kws_fully_connected_s8(const kws_fully_connected* layer, const int8_t* input, int8_t* output);

void kws_fully_connected_packed_s8(const kws_fully_connected_packed* layer, const int8_t* input, int8_t* output);

// scratch: a byte for each weight.
void kws_conv2d_packed_rows_s8(const kws_conv2d_packed* layer, int first_row, int end_row, const int8_t* input,
                               int8_t* output, void* scratch);

// weights: [kernel_height][kernel_width][output_channels], output_channels a multiple of input_channels.
void kws_depthwise_conv2d_s8(const kws_conv2d* layer, const int8_t* input, int8_t* output);

// As a convolution without weights, offsets and multipliers.
void kws_average_pool_s8(const kws_conv2d* layer, const int8_t* input, int8_t* output);

// input: [positions][channels], output: [channels].
void kws_mean_s8(const kws_mean* layer, const int8_t* input, int8_t* output);

void kws_pad_s8(const kws_pad* layer, const int8_t* input, int8_t* output);

// Probabilities with scale 1/256 and zero point -128. input and output: [size], at most 4095 of them.
void kws_softmax_s8(const kws_softmax* layer, const int8_t* input, int8_t* output);

// --- fully connected layers without their zeros ----------------------------------------------------------------------

// The input's zero point is part of the bias. A distance is counted from where the value before was, the first from the
// input's begin; where one is too large for its bits, zeros stand on the way.
typedef struct {
  int32_t inputs, outputs;
  int16_t output_offset;
  int16_t activation_min, activation_max;
  const uint32_t* packed_weights;  // of each output, or of each four, what the form says; one after the other
  const uint16_t* counts;          // how many of them: groups, or words of a bitmap
  const int32_t* bias;             // [outputs]
  const int32_t* multiplier;       // [outputs]
  const int8_t* shift;             // [outputs]
} kws_fully_connected_sparse;

// Compressed rows. A group: four distances of 8 bits, and four weights of 8 bits.
void kws_fully_connected_csr_s8(const kws_fully_connected_sparse* layer, const int8_t* input, int8_t* output);

// A bitmap: a word for each 32 inputs, from the highest bit; behind an output's words its weights of 8 bits, up to a
// multiple of four.
void kws_fully_connected_bitmap_s8(const kws_fully_connected_sparse* layer, const int8_t* input, int8_t* output);

// Two of each four inputs. A group is 32 inputs: a word of their places, two bits each, and four words of weights.
void kws_fully_connected_two_of_four_s8(const kws_fully_connected_sparse* layer, const int8_t* input, int8_t* output);

// Blocks of four inputs of one output. A group: four distances of 8 bits, in fours of inputs, and a word for each block.
void kws_fully_connected_blocks_4x1_s8(const kws_fully_connected_sparse* layer, const int8_t* input, int8_t* output);

// Blocks of four inputs of four outputs, of which counts has one entry. Four words first, then the groups: four distances
// as above and four words for each block (kws_dot4_blocks_s8.S).
void kws_fully_connected_blocks_4x4_s8(const kws_fully_connected_sparse* layer, const int8_t* input, int8_t* output);

// Where KWS_DSP, their inner loops: one output, one output, and four dot products.
int32_t kws_csr_s8(const int8_t* input, const uint32_t* packed_weights, int32_t n_groups);
int32_t kws_blocks_4x1_s8(const int8_t* input, const uint32_t* packed_weights, int32_t n_groups);
void kws_dot4_blocks_s8(const int8_t* input, const uint32_t* packed_weights, int32_t n_groups, int32_t* sums);

// --- the same outputs faster, where KWS_DSP (kws_cpu.h) --------------------------------------------------------------

// In all of these the input's zero point is part of the bias, sums stay below 2^30 and shifts below 0.

// One group of packed weights serves four outputs (kws_dot4_s8.S).
typedef struct {
  int32_t inputs, outputs;                // inputs: a multiple of 4
  int16_t output_offset;
  int16_t activation_min, activation_max;
  const uint32_t* packed_weights;         // [(outputs + 3) / 4][4 + inputs]
  const int32_t* bias;                    // [outputs]
  const int32_t* multiplier;              // [outputs]
  const int8_t* shift;                    // [outputs]
} kws_fully_connected_dot4;

void kws_fully_connected_dot4_s8(const kws_fully_connected_dot4* layer, const int8_t* input, int8_t* output);

// Four dot products of 4 * n_words inputs with one group of packed weights. sums: [4].
void kws_dot4_s8(const int8_t* input, const uint32_t* packed_weights, int32_t n_words, int32_t* sums);

// The same with weights of 4 and 2 bits, inputs a multiple of 8, shifts of any sign. packed_weights: a group is [inputs / 2] words of 4 bits
// (kws_dot4_w4_s8.S), or [inputs / 4] words of 2 bits, as many unused ones before them as make a multiple of
// KWS_DOT4_W2_BLOCK_WORDS, and three for each four such blocks (kws_dot4_w2_s8.S).
void kws_fully_connected_dot4_w4_s8(const kws_fully_connected_dot4* layer, const int8_t* input, int8_t* output);
void kws_fully_connected_dot4_w2_s8(const kws_fully_connected_dot4* layer, const int8_t* input, int8_t* output);

// Four dot products of 8 * n_steps inputs, n_steps > 0.
void kws_dot4_w4_s8(const int8_t* input, const uint32_t* packed_weights, int32_t n_steps, int32_t* sums);

// Of 4 * n_words inputs, n_words even and > 0. input: at a multiple of 4 bytes.
void kws_dot4_w2_s8(const int8_t* input, const uint32_t* packed_weights, int32_t n_words, int32_t* sums);

// Any convolution. packed_weights: [(output_channels + 3) / 4][4 + inputs under the kernel, up to a multiple of 4].
typedef struct {
  kws_conv2d conv;  // without weights
  const uint32_t* packed_weights;
} kws_conv2d_dot4;

// scratch: the inputs under the kernel, up to a multiple of 4 bytes.
void kws_conv2d_dot4_rows_s8(const kws_conv2d_dot4* layer, int first_row, int end_row, const int8_t* input,
                             int8_t* output, void* scratch);

// The same with weights of 4 or 2 bits, which are unpacked first. packed_weights: a code of weight_bits for each weight,
// in the order in which they are unpacked: [(output_channels + 3) / 4][words][4 outputs][4 inputs].
typedef struct {
  kws_conv2d conv;                // without weights
  int16_t weight_bits;            // 4 or 2
  const uint8_t* packed_weights;
} kws_conv2d_dot4_packed;

// scratch: the unpacked weights, as kws_conv2d_dot4 has them, and its scratch.
void kws_conv2d_dot4_packed_rows_s8(const kws_conv2d_dot4_packed* layer, int first_row, int end_row,
                                    const int8_t* input, int8_t* output, void* scratch);

// A depthwise convolution with as many output channels as input channels, a multiple of 4.
typedef struct {
  kws_conv2d conv;                 // without weights
  const uint32_t* packed_weights;  // [channels / 4][(taps + 1) / 2][4]: a word holds two taps of a channel
} kws_depthwise_taps;

// scratch: (taps + 1) / 2 * 2 pointers and [channels] bytes.
void kws_depthwise_taps_s8(const kws_depthwise_taps* layer, const int8_t* input, int8_t* output, void* scratch);

// One filter for kws_conv2d_pairs, see kws_pairs_filter_rows.S.
typedef struct {
  // even columns' taps: 2 + (0 << 21), 6 + (4 << 21); odd ones: 3 + (1 << 21), 7 + (5 << 21)
  uint32_t weights[KWS_PAIRS_KERNEL_ROWS][KWS_PAIRS_KERNEL_COLUMNS / 2];
  uint32_t start[2];        // where a 64-bit accumulator starts
  int32_t multiplier;       // output = (sum * multiplier + (addend << 32)) >> 39
  int32_t addend;
} kws_pairs_filter;

// What an output row sees of the input.
typedef struct {
  uint16_t input_row;    // the first one inside the image
  uint8_t kernel_rows;   // how many of the kernel's rows are inside
  uint8_t shift;         // KWS_PAIRS_KERNEL_ROWS - kernel_rows - kernel rows above the image
} kws_pairs_row;

// A convolution with 1 input channel, stride 2 across, a kernel of at most KWS_PAIRS_KERNEL_ROWS x
// KWS_PAIRS_KERNEL_COLUMNS taps, output width 8 n + 4.
typedef struct {
  int16_t input_height, input_width;
  int16_t output_width, output_channels;
  int16_t pad_left;                 // 2 or 3
  int16_t blocks;                   // n
  int16_t input_zero;               // the input's zero point + 128, 0..255
  const kws_pairs_filter* filters;  // [output_channels]
  const kws_pairs_row* rows;        // [output_height]
} kws_conv2d_pairs;

// The output rows first_row .. end_row - 1. output: [output_height][output_channels][output_width]: the channel before
// the column. pairs: scratch, [input_height][KWS_PAIRS_HEAD_WORDS + KWS_PAIRS_BLOCK_WORDS * blocks].
void kws_conv2d_pairs_rows_s8(const kws_conv2d_pairs* layer, int first_row, int end_row, const int8_t* input,
                              int8_t* output, uint32_t* pairs);

// The same with weights of 4 or 2 bits; each filter is unpacked when its turn comes.
typedef struct {
  kws_conv2d_pairs pairs;          // without filters
  int16_t weight_bits;             // 4 or 2
  int16_t down;                    // the output has 8 - down bits, 0..7: -128 ... -129 + (256 >> down)
  uint32_t mask, offset;           // see kws_unpack_pairs.S
  const uint32_t* packed_filters;  // [output_channels][14], or [12] where weights have 2 bits
} kws_conv2d_pairs_packed;

// pairs: scratch, as above, and behind it room for one kws_pairs_filter.
void kws_conv2d_pairs_packed_rows_s8(const kws_conv2d_pairs_packed* layer, int first_row, int end_row,
                                     const int8_t* input, int8_t* output, uint32_t* pairs);

// words: a kws_pairs_filter. Both return what follows the filter.
const uint32_t* kws_unpack_pairs_w4(const uint32_t* packed, uint32_t* words, uint32_t mask, uint32_t offset);
const uint32_t* kws_unpack_pairs_w2(const uint32_t* packed, uint32_t* words, uint32_t mask, uint32_t offset);

// What kws_pairs_filter_rows computes: one channel of some rows. The order of the fields is known to the assembly.
typedef struct {
  const kws_pairs_filter* filter;
  const kws_pairs_row* rows;
  int32_t n_rows;
  const uint32_t* head;    // [input_height][KWS_PAIRS_HEAD_WORDS]
  const uint32_t* blocks;  // [n_blocks][input_height][KWS_PAIRS_BLOCK_WORDS]
  int32_t block_bytes;
  int32_t n_blocks;
  int8_t* output;
  int32_t skip_bytes;      // from the end of an output row to the next
} kws_pairs_job;

void kws_pairs_filter_rows(const kws_pairs_job* job);

// --- kws_conv2d_pairs without what is pruned -------------------------------------------------------------------------

// A filter of which some half rows are kept (kws_pairs_kept_rows.S).
typedef struct {
  uint32_t kept;        // bit 2 * row + odd: the taps of this kernel row's even or odd columns; their number << 24
  uint32_t start[2];    // these four as in kws_pairs_filter
  int32_t multiplier;
  int32_t addend;
  uint32_t weights[];   // [their number][2]
} kws_pairs_kept;

// Rows of outputs that nothing reads are not computed. The layer behind reads the others: [output_channels][rows that
// are read][output_width].
typedef struct {
  kws_conv2d_pairs pairs;           // without filters; input_height: rows of the scratch, those of zeros included
  int16_t image_height;             // rows of the input
  int16_t output_height;            // at most 32
  int16_t first_inner, end_inner;   // output rows that see no edge: they move with the window
  int16_t filter_words;             // of each filter; 0: they are kws_pairs_kept
  const uint32_t* filters;          // kws_pairs_filter or kws_pairs_kept, one after the other
  const uint32_t* read_rows;        // [output_channels], a bit for each output row
  void (*filter_rows)(const kws_pairs_job*);
} kws_conv2d_pairs_sparse;

// moved_rows: by how many output rows the input has moved up since the call before with the same `kept`, 0 for a fresh
// input. kept: [output_channels][output_height][output_width] bytes and a word for each channel. scratch: as
// kws_conv2d_pairs, or the rows that are read if they are more; behind it two words for each output row and the bytes
// of an output row for each. Returns the rows that are read: they lie in kept or scratch.
const int8_t* kws_conv2d_pairs_sparse_s8(const kws_conv2d_pairs_sparse* layer, int moved_rows, const int8_t* input,
                                         int8_t* kept, void* scratch);

// As kws_pairs_filter_rows. filter: a kws_pairs_kept; rows: for each output row the first kept unit inside the image,
// and how many kept units there are from there on, << 16.
void kws_pairs_kept_rows(const kws_pairs_job* job);

#endif
