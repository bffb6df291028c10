// What the fully connected layers without zeros share.
#ifndef KWS_SPARSE_H_
#define KWS_SPARSE_H_

#include "kws_cpu.h"
#include "kws_math.h"
#include "kws_nn.h"

static inline int8_t kws_sparse_output(const kws_fully_connected_sparse* l, int32_t o, int32_t sum) {
  const int32_t q = kws_requantize(sum + l->bias[o], l->multiplier[o], l->shift[o]) + l->output_offset;
  return (int8_t)kws_clamp(q, l->activation_min, l->activation_max);
}

// The four bytes of a word, the lowest first, without and with a sign.
static inline int32_t kws_byte(uint32_t word, int i) { return (int32_t)(uint8_t)(word >> (8 * i)); }
static inline int32_t kws_signed_byte(uint32_t word, int i) { return (int8_t)(word >> (8 * i)); }

#endif
