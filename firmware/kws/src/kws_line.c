#include "kws_line.h"

#include "kws_cpu.h"

KWS_SMALL void kws_line_char(kws_line* line, char c) {
  if (line->length < KWS_LINE_LIMIT) line->text[line->length++] = c;
}

KWS_SMALL void kws_line_text(kws_line* line, const char* text) {
  while (*text) kws_line_char(line, *text++);
}

KWS_SMALL void kws_line_unsigned(kws_line* line, uint32_t value) {
  char digits[10];
  int n = 0;
  do digits[n++] = (char)('0' + value % 10);
  while (value /= 10);
  while (n > 0) kws_line_char(line, digits[--n]);
}

KWS_SMALL void kws_line_signed(kws_line* line, int32_t value) {
  if (value < 0) kws_line_char(line, '-');
  kws_line_unsigned(line, value < 0 ? 0u - (uint32_t)value : (uint32_t)value);
}

KWS_SMALL static void put_hex(kws_line* line, uint32_t value, int digits, const char* alphabet) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) kws_line_char(line, alphabet[(value >> shift) & 0xF]);
}

void kws_line_hex(kws_line* line, uint32_t value, int digits) { put_hex(line, value, digits, "0123456789abcdef"); }

KWS_SMALL void kws_line_probability(kws_line* line, int8_t code) {
  const uint32_t thousandths = ((uint32_t)(code + 128) * 1000 + 128) / 256;
  kws_line_text(line, "0.");
  for (uint32_t unit = 100; unit > 0; unit /= 10) kws_line_char(line, (char)('0' + thousandths / unit % 10));
}

KWS_SMALL static uint16_t crc16(const char* text, size_t length) {
  uint16_t crc = 0xFFFF;
  for (size_t i = 0; i < length; ++i) {
    crc = (uint16_t)(crc ^ (uint16_t)((uint8_t)text[i] << 8));
    for (int bit = 0; bit < 8; ++bit) crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
  }
  return crc;
}

KWS_SMALL void kws_line_crc(kws_line* line) {
  const uint16_t crc = crc16(line->text, line->length);
  kws_line_char(line, '*');
  put_hex(line, crc, 4, "0123456789ABCDEF");
}

void kws_line_end(kws_line* line) {
  line->text[line->length++] = '\r';
  line->text[line->length++] = '\n';
}
