// Raw inputs in, raw outputs out: what `kws-nb verify` compares with an interpreter.
//
// For each run the host sends one byte, 0 for a fresh input or by how many rows the input has moved since the one
// before, then the KWS_MODEL_INPUT_BYTES bytes of the input. The answer is KWS_MODEL_OUTPUT_BYTES bytes.
#include "kws_model.h"
#include "port.h"

static int8_t input[KWS_MODEL_INPUT_BYTES];
static int8_t output[KWS_MODEL_OUTPUT_BYTES];
static kws_model_workspace workspace;

static void receive(uint8_t* bytes, size_t n_bytes) {
  while (n_bytes > 0) {
    const size_t n = port_serial_read(bytes, n_bytes);
    bytes += n;
    n_bytes -= n;
    if (n == 0) port_idle();
  }
}

int main(void) {
  for (;;) {
    uint8_t moved_rows;
    receive(&moved_rows, 1);
    receive((uint8_t*)input, sizeof input);
    if (moved_rows > 0) {
      kws_model_slide(input, moved_rows, output, &workspace);
    } else {
      kws_model_invoke(input, output, &workspace);
    }
    port_serial_write((const char*)output, sizeof output);
  }
}
