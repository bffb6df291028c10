// The header that the Arduino IDE includes, because it looks for one with the library's name.
#ifndef KWS_NB_H_
#define KWS_NB_H_

#include "kws.h"

#endif
