// The microphone of the Nano 33 BLE Sense, as its library shows it.
#ifndef KWS_SHIM_PDM_H_
#define KWS_SHIM_PDM_H_

#include <stddef.h>

class PDMShim {
 public:
  void onReceive(void (*callback)());
  int begin(int channels, int sample_rate);
  void setGain(int gain);
  int available();                           // bytes
  int read(void* buffer, size_t size_bytes);  // bytes
};
extern PDMShim PDM;

#endif
