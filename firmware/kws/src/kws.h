// Everything a sketch needs, from C or C++.
#ifndef KWS_H_
#define KWS_H_

#ifdef __cplusplus
#define _Alignas alignas  // C's name for it
extern "C" {
#endif

#include "kws_bench.h"
#include "kws_config.h"
#include "kws_frontend.h"
#include "kws_model.h"
#include "kws_protocol.h"
#include "kws_recognizer.h"
#include "kws_report.h"
#include "kws_ring.h"
#include "kws_spotter.h"

#ifdef __cplusplus
}
#undef _Alignas
#endif

#endif
