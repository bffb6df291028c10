// Counts the operators that are added; one too many is an error, as in the library.
#ifndef KWS_SHIM_OP_RESOLVER_H_
#define KWS_SHIM_OP_RESOLVER_H_

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

namespace tflite {

template <unsigned kOperators>
class MicroMutableOpResolver {
 public:
  TfLiteStatus AddConv2D() { return add(); }
  TfLiteStatus AddDepthwiseConv2D() { return add(); }
  TfLiteStatus AddFullyConnected() { return add(); }
  TfLiteStatus AddReshape() { return add(); }
  TfLiteStatus AddSoftmax() { return add(); }
  TfLiteStatus AddAveragePool2D() { return add(); }
  TfLiteStatus AddMaxPool2D() { return add(); }
  TfLiteStatus AddMean() { return add(); }
  TfLiteStatus AddPad() { return add(); }

  unsigned added = 0;

 private:
  TfLiteStatus add() { return added++ < kOperators ? kTfLiteOk : kTfLiteError; }
};

}  // namespace tflite

#endif
