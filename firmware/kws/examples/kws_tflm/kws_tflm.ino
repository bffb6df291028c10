// The same keyword spotter with the network run by TensorFlow Lite Micro (the library Arduino_TensorFlowLite): the way
// of the course. Front end, smoothing and lines are those of kws_live; commands are left out.
//
// tflm_model.h and g_model.c are generated from a .tflite file: see the README of this library.
#include <PDM.h>
#include <TensorFlowLite.h>
#include <kws_nb.h>
#include <tensorflow/lite/micro/micro_interpreter.h>
#include <tensorflow/lite/micro/micro_mutable_op_resolver.h>
#include <tensorflow/lite/schema/schema_generated.h>

#include "tflm_model.h"

static kws_ring ring;
static kws_frontend frontend;
static kws_recognizer recognizer;
static kws_reporter reporter;
alignas(4) static int8_t window[KWS_FRAMES][KWS_CHANNELS];  // oldest row first
static uint32_t samples_heard;
static uint32_t missing_frames;                  // until the next prediction
alignas(16) static uint8_t arena[kTensorArenaBytes];
static tflite::MicroInterpreter* interpreter;

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

static void stop(const char* error) {
  Serial.println(error);
  while (true) {
  }
}

static void forget() {
  kws_frontend_reset(&frontend);
  kws_recognizer_reset(&recognizer);
  samples_heard = 0;
  missing_frames = KWS_FRAMES;
}

static void append_row(const uint16_t* features) {
  memmove(window[0], window[1], sizeof window - sizeof window[0]);
  for (int i = 0; i < KWS_CHANNELS; ++i) window[KWS_FRAMES - 1][i] = kws_quantize_feature(features[i]);
}

static void predict() {
  memcpy(interpreter->input(0)->data.int8, window, sizeof window);
  if (interpreter->Invoke() != kTfLiteOk) stop("e-[The network does not run]");
  kws_prediction prediction = {};
  prediction.sample = samples_heard;
  for (uint8_t i = 0; i < KWS_LABELS; ++i) {
    prediction.scores[i] = interpreter->output(0)->data.int8[i];
    if (prediction.scores[i] > prediction.scores[prediction.label]) prediction.label = i;
  }
  digitalWrite(LED_BUILTIN, prediction.label >= KWS_FIRST_KEYWORD ? HIGH : LOW);
  kws_report_heard(&reporter, &prediction);
  kws_detection detection;
  if (kws_recognizer_process(&recognizer, &prediction, &detection)) kws_report_detected(&reporter, &detection);
}

static void hear(const int16_t* samples, size_t n_samples) {
  while (n_samples > 0) {
    uint16_t features[KWS_CHANNELS];
    size_t consumed = 0;
    const bool frame_done = kws_frontend_process(&frontend, samples, n_samples, &consumed, features);
    samples += consumed;
    n_samples -= consumed;
    samples_heard += static_cast<uint32_t>(consumed);
    if (!frame_done) continue;
    append_row(features);
    if (--missing_frames > 0) continue;
    missing_frames = KWS_HOP_FRAMES;
    predict();
  }
}

static void start_network() {
  const tflite::Model* model = tflite::GetModel(g_model);
  if (model->version() != TFLITE_SCHEMA_VERSION) stop("e-[The model has another version than the library]");
  static KwsOpResolver resolver;
  if (register_operators(resolver) != kTfLiteOk) stop("e-[The library lacks an operator]");
  static tflite::MicroInterpreter the_interpreter(model, resolver, arena, kTensorArenaBytes);
  interpreter = &the_interpreter;
  if (interpreter->AllocateTensors() != kTfLiteOk) stop("e-[The arena is too small]");
  if (interpreter->input(0)->bytes != sizeof window) stop("e-[The model takes another input]");
}

void setup() {
  Serial.begin(115200);
  while (!Serial && millis() < 3000) {
  }
  pinMode(LED_BUILTIN, OUTPUT);
  start_network();
  kws_ring_init(&ring, KWS_MICROPHONE_SETTLING_MS * (KWS_SAMPLE_RATE / 1000));
  kws_frontend_init(&frontend, KWS_STEP_SAMPLES);
  kws_recognizer_init(&recognizer);
  kws_report_init(&reporter, write_serial, nullptr);
  forget();
  PDM.onReceive(take_from_microphone);
  if (!PDM.begin(1, KWS_SAMPLE_RATE)) stop("e-[The microphone does not start]");
  PDM.setGain(KWS_MICROPHONE_GAIN);
  Serial.println("m-name-dut-[kws_nb " KWS_MODEL_NAME "]");
  Serial.println("m-ready");
}

void loop() {
  int16_t samples[160];
  hear(samples, kws_ring_take(&ring, samples, sizeof samples / sizeof *samples));
  const uint32_t lost_samples = kws_ring_lost(&ring);
  if (lost_samples > 0) {
    kws_report_overrun(&reporter, lost_samples);
    forget();
  }
}
