// Keyword spotting on an Arduino Nano 33 BLE Sense: microphone in, a line for each prediction and each detected word
// out, commands in between (try `help%` in the serial monitor, 115200 baud). The light is on while a keyword is heard.
#include <PDM.h>
#include <kws_nb.h>

static kws_ring ring;
static kws_spotter spotter;
static kws_recognizer recognizer;
static kws_protocol protocol;

// The microphone's interrupt.
static void take_from_microphone() {
  static int16_t samples[256];
  while (PDM.available() > 0) {
    const int bytes = PDM.read(samples, sizeof samples);
    if (bytes <= 0) return;
    kws_ring_add(&ring, samples, static_cast<size_t>(bytes) / sizeof *samples);
  }
}

static void write_serial(void*, const char* text, size_t length) { Serial.write(text, length); }

static uint32_t now_us(void*) { return static_cast<uint32_t>(micros()); }

#if defined(DWT) && defined(DWT_CTRL_CYCCNTENA_Msk)
static void start_cycle_counter() {
  CoreDebug->DEMCR |= CoreDebug_DEMCR_TRCENA_Msk;
  DWT->CTRL |= DWT_CTRL_CYCCNTENA_Msk;
}
static uint32_t now_cycles(void*) { return DWT->CYCCNT; }
#else
static void start_cycle_counter() {}
static uint32_t now_cycles(void*) { return 0; }
#endif

static void hear(const int16_t* samples, size_t n_samples) {
  while (n_samples > 0) {
    kws_prediction prediction;
    kws_detection detection;
    size_t consumed = 0;
    if (kws_spotter_process(&spotter, samples, n_samples, &consumed, &prediction)) {
      digitalWrite(LED_BUILTIN, prediction.label >= KWS_FIRST_KEYWORD ? HIGH : LOW);
      kws_protocol_report(&protocol, &prediction, &detection);
    }
    samples += consumed;
    n_samples -= consumed;
  }
}

void setup() {
  Serial.begin(115200);
  while (!Serial && millis() < 3000) {
  }
  pinMode(LED_BUILTIN, OUTPUT);
  start_cycle_counter();
  kws_ring_init(&ring, KWS_MICROPHONE_SETTLING_MS * (KWS_SAMPLE_RATE / 1000));
  kws_spotter_init(&spotter, KWS_HOP_FRAMES);
  kws_recognizer_init(&recognizer);
  const kws_clock clock = {now_us, now_cycles, nullptr};
  kws_protocol_init(&protocol, &spotter, &recognizer, write_serial, clock);
  PDM.onReceive(take_from_microphone);
  if (!PDM.begin(1, KWS_SAMPLE_RATE)) {
    Serial.println("e-[The microphone does not start]");
    while (true) {
    }
  }
  PDM.setGain(KWS_MICROPHONE_GAIN);
}

void loop() {
  while (Serial.available() > 0) {
    const uint8_t byte = static_cast<uint8_t>(Serial.read());
    kws_protocol_receive(&protocol, &byte, 1);
  }
  int16_t samples[160];
  const size_t n_samples = kws_ring_take(&ring, samples, sizeof samples / sizeof *samples);
  if (protocol.listening) hear(samples, n_samples);
  const uint32_t lost_samples = kws_ring_lost(&ring);
  if (lost_samples > 0 && protocol.listening) kws_protocol_overrun(&protocol, lost_samples);
}
