// Moving a block to a lower address, a word at a time where both places allow it.
#ifndef KWS_MOVE_H_
#define KWS_MOVE_H_

#include <stddef.h>
#include <stdint.h>

// to <= from; the places may overlap. Both and n_bytes are multiples of 4.
static inline void kws_move_words_down(void* to, const void* from, size_t n_bytes) {
  uint32_t* t = to;
  const uint32_t* f = from;
  size_t n = n_bytes / 4;
  for (; n >= 8; n -= 8, t += 8, f += 8) {
    const uint32_t a = f[0], b = f[1], c = f[2], d = f[3], e = f[4], g = f[5], h = f[6], i = f[7];
    t[0] = a, t[1] = b, t[2] = c, t[3] = d, t[4] = e, t[5] = g, t[6] = h, t[7] = i;
  }
  while (n--) *t++ = *f++;
}

#endif
