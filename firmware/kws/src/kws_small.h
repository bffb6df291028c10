// A mark for functions that run seldom: short code matters more than fast code there, whatever the rest is compiled for.
#ifndef KWS_SMALL_H_
#define KWS_SMALL_H_

#if defined(__clang__)
#define KWS_SMALL __attribute__((minsize, noinline))
#elif defined(__GNUC__)
#define KWS_SMALL __attribute__((cold, noinline))
#else
#define KWS_SMALL
#endif

#endif
