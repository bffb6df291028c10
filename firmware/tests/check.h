// The tests' one macro: a condition that has to hold. The program ends with the number of those that didn't.
#ifndef KWS_CHECK_H_
#define KWS_CHECK_H_

#include <stdio.h>

static int failures;

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (condition) break;                                                    \
    ++failures;                                                              \
    fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
  } while (0)

#endif
