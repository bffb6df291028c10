// An interpreter that lets our own core run the network: what the sketch makes of the scores can be compared.
#ifndef KWS_SHIM_INTERPRETER_H_
#define KWS_SHIM_INTERPRETER_H_

#include <kws.h>
#include <tensorflow/lite/micro/micro_mutable_op_resolver.h>
#include <tensorflow/lite/schema/schema_generated.h>

struct TfLiteTensor {
  struct {
    int8_t* int8;
  } data;
  size_t bytes;
};

namespace tflite {

class MicroInterpreter {
 public:
  template <unsigned kOperators>
  MicroInterpreter(const Model*, const MicroMutableOpResolver<kOperators>& resolver, uint8_t* arena, size_t arena_bytes)
      : arena_(reinterpret_cast<arena_layout*>(arena)),
        usable_(resolver.added == kOperators && arena_bytes >= sizeof(arena_layout)) {}

  TfLiteStatus AllocateTensors() {
    if (!usable_) return kTfLiteError;
    input_ = {{arena_->input}, sizeof arena_->input};
    output_ = {{arena_->scores}, sizeof arena_->scores};
    return kTfLiteOk;
  }
  TfLiteTensor* input(size_t) { return &input_; }
  TfLiteTensor* output(size_t) { return &output_; }
  TfLiteStatus Invoke() {
    static kws_model_workspace workspace;  // ours, not the library's: it has no place in the arena
    kws_model_invoke(arena_->input, arena_->scores, &workspace);
    return kTfLiteOk;
  }

 private:
  struct arena_layout {
    int8_t input[KWS_FRAMES * KWS_CHANNELS];
    int8_t scores[KWS_LABELS];
  };
  arena_layout* arena_;
  bool usable_;
  TfLiteTensor input_ = {}, output_ = {};
};

}  // namespace tflite

#endif
