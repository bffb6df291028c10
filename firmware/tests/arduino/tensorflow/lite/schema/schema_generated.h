// The few names of TensorFlow Lite that examples/kws_tflm uses.
#ifndef KWS_SHIM_SCHEMA_H_
#define KWS_SHIM_SCHEMA_H_

#include <stdint.h>

#define TFLITE_SCHEMA_VERSION 3

namespace tflite {

class Model {
 public:
  uint32_t version() const { return schema_version; }
  uint32_t schema_version;
};

// The shim only looks for the mark of a .tflite file.
inline const Model* GetModel(const void* data) {
  static Model model = {0};
  const char* mark = static_cast<const char*>(data) + 4;
  model.schema_version = mark[0] == 'T' && mark[1] == 'F' && mark[2] == 'L' && mark[3] == '3' ? TFLITE_SCHEMA_VERSION : 0;
  return &model;
}

}  // namespace tflite

#endif
