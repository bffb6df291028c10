// What a call of the core can answer besides its result.
#ifndef KWS_STATUS_H_
#define KWS_STATUS_H_

typedef enum {
  KWS_OK = 0,
  KWS_BAD_ARGUMENT = 1,  // a null pointer, an empty shape, a value out of its documented range
} kws_status;

#endif
