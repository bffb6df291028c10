// The int8 network kernels: TFLite's quantised operators, bit for bit.
//
// Tensors are NHWC with a batch of one. A real value is scale * (q - zero_point); an `offset` is a zero point with the
// sign that the arithmetic adds. Weights are symmetric (zero point 0), multipliers and shifts stand for
// input_scale * weight_scale / output_scale, one for each output channel (see kws_requantize).
#ifndef KWS_NN_H_
#define KWS_NN_H_

#include <stdint.h>

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

typedef struct {
  int32_t size;
  int32_t multiplier;  // input scale << 26, as a mantissa ...
  int32_t shift;       // ... and an exponent, 0..30
  int32_t diff_min;    // differences to the largest input below this one give probability 0
} kws_softmax;

// input: [input_height][input_width][input_channels], output: [output_height][output_width][output_channels].
void kws_conv2d_s8(const kws_conv2d* layer, const int8_t* input, int8_t* output);

// input: [inputs], output: [outputs].
void kws_fully_connected_s8(const kws_fully_connected* layer, const int8_t* input, int8_t* output);

// Probabilities with scale 1/256 and zero point -128. input and output: [size], at most 4095 of them.
void kws_softmax_s8(const kws_softmax* layer, const int8_t* input, int8_t* output);

#endif
