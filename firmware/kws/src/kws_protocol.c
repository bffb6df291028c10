#include "kws_protocol.h"

#include <string.h>

#include "kws_tables.h"

// --- writing a line --------------------------------------------------------------------------------------------------

enum { LINE_LIMIT = 120 };

typedef struct {
  size_t length;
  char text[LINE_LIMIT];
} line_buffer;

static void put_char(line_buffer* line, char c) {
  if (line->length < LINE_LIMIT) line->text[line->length++] = c;
}

static void put_text(line_buffer* line, const char* text) {
  while (*text) put_char(line, *text++);
}

static void put_unsigned(line_buffer* line, uint32_t value) {
  char digits[10];
  int n = 0;
  do digits[n++] = (char)('0' + value % 10);
  while (value /= 10);
  while (n > 0) put_char(line, digits[--n]);
}

static void put_signed(line_buffer* line, int32_t value) {
  if (value < 0) put_char(line, '-');
  put_unsigned(line, value < 0 ? 0u - (uint32_t)value : (uint32_t)value);
}

static uint16_t crc16(const char* text, size_t length) {
  uint16_t crc = 0xFFFF;
  for (size_t i = 0; i < length; ++i) {
    crc = (uint16_t)(crc ^ (uint16_t)((uint8_t)text[i] << 8));
    for (int bit = 0; bit < 8; ++bit) crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
  }
  return crc;
}

static void put_crc(line_buffer* line) {
  const uint16_t crc = crc16(line->text, line->length);
  put_char(line, '*');
  for (int shift = 12; shift >= 0; shift -= 4) put_char(line, "0123456789ABCDEF"[(crc >> shift) & 0xF]);
}

static void send(kws_protocol* p, line_buffer* line) {
  put_text(line, "\r\n");
  p->write(p->context, line->text, line->length);
}

static void send_text(kws_protocol* p, const char* text) {
  line_buffer line = {0};
  put_text(&line, text);
  send(p, &line);
}

// --- commands --------------------------------------------------------------------------------------------------------

// What follows `name` and a blank in the command, an empty text for `name` alone, a null pointer for another command.
static const char* argument_of(const char* command, const char* name) {
  const size_t length = strlen(name);
  if (strncmp(command, name, length) != 0) return NULL;
  if (command[length] == '\0') return command + length;
  return command[length] == ' ' ? command + length + 1 : NULL;
}

// A decimal number in 1..65535, or 0.
static uint16_t parse_u16(const char* text) {
  uint32_t value = 0;
  if (!*text) return 0;
  for (; *text; ++text) {
    if (*text < '0' || *text > '9') return 0;
    value = value * 10 + (uint32_t)(*text - '0');
    if (value > UINT16_MAX) return 0;
  }
  return (uint16_t)value;
}

static void send_timestamp(kws_protocol* p) {
  line_buffer line = {0};
  put_text(&line, "m-lap-us-");
  put_unsigned(&line, (uint32_t)p->now_us(p->context));
  send(p, &line);
}

static bool run_command(kws_protocol* p, const char* command) {
  const char* argument;
  if (argument_of(command, "name")) {
    send_text(p, "m-name-kws-[" KWS_MODEL_NAME "]");
  } else if (argument_of(command, "help")) {
    send_text(p, "m-help-name% help% timestamp% reset% hop N% stream on% stream off%");
  } else if (argument_of(command, "timestamp")) {
    send_timestamp(p);
  } else if (argument_of(command, "reset")) {
    kws_spotter_reset(p->spotter);
  } else if ((argument = argument_of(command, "hop"))) {
    const uint16_t hop_frames = parse_u16(argument);
    return kws_spotter_init(p->spotter, hop_frames) == KWS_OK;
  } else if ((argument = argument_of(command, "stream"))) {
    if (strcmp(argument, "on") != 0 && strcmp(argument, "off") != 0) return false;
    p->listening = strcmp(argument, "on") == 0;
  } else {
    return false;
  }
  return true;
}

static void finish_command(kws_protocol* p) {
  const bool overflow = p->overflow;
  p->command[p->length] = '\0';
  p->length = 0;
  p->overflow = false;
  if (overflow) {
    send_text(p, "e-command too long");
  } else if (!run_command(p, p->command)) {
    send_text(p, "e-unknown command or argument, try help%");
  }
  send_text(p, "m-ready");
}

// --- the whole -------------------------------------------------------------------------------------------------------

void kws_protocol_init(kws_protocol* p, kws_spotter* spotter, kws_write_fn write, uint64_t (*now_us)(void* context),
                       void* context) {
  *p = (kws_protocol){.spotter = spotter, .write = write, .context = context, .now_us = now_us, .listening = true};
  send_text(p, "m-init-done");
  send_text(p, "m-ready");
}

void kws_protocol_receive(kws_protocol* p, const uint8_t* bytes, size_t n_bytes) {
  for (size_t i = 0; i < n_bytes; ++i) {
    const char c = (char)bytes[i];
    if (c == '%') {
      finish_command(p);
    } else if (c == '\r' || c == '\n') {
      continue;
    } else if (p->length < KWS_COMMAND_LIMIT - 1) {
      p->command[p->length++] = c;
    } else {
      p->overflow = true;
    }
  }
}

void kws_protocol_report(kws_protocol* p, const kws_prediction* prediction) {
  line_buffer line = {0};
  put_text(&line, "m-kws-heard,");
  put_unsigned(&line, p->sequence++);
  put_char(&line, ',');
  put_unsigned(&line, prediction->sample);
  put_char(&line, ',');
  put_text(&line, kws_labels[prediction->label]);
  for (int i = 0; i < KWS_LABELS; ++i) {
    put_char(&line, ',');
    put_signed(&line, prediction->scores[i]);
  }
  put_crc(&line);
  send(p, &line);
}
