// One line of the protocol, put together piece by piece. What does not fit is left out, never written elsewhere.
#ifndef KWS_LINE_H_
#define KWS_LINE_H_

#include <stddef.h>
#include <stdint.h>

#include "kws_model.h"

enum { KWS_LINE_LIMIT = KWS_LONGEST_LINE };  // characters, without the line end

typedef struct {
  size_t length;
  char text[KWS_LINE_LIMIT + 2];  // the line end has its own place
} kws_line;

void kws_line_char(kws_line* line, char c);
void kws_line_text(kws_line* line, const char* text);
void kws_line_unsigned(kws_line* line, uint32_t value);
void kws_line_signed(kws_line* line, int32_t value);
void kws_line_hex(kws_line* line, uint32_t value, int digits);

// An int8 score as the probability it stands for, (code + 128) / 256, with three decimals: 0.000..0.996.
void kws_line_probability(kws_line* line, int8_t code);

// A star and the CRC-16/CCITT-FALSE of all before it, as four hex digits.
void kws_line_crc(kws_line* line);

// Carriage return and line feed. Nothing may follow.
void kws_line_end(kws_line* line);

#endif
