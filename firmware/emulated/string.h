// The part of <string.h> that the core uses, for compilers that bring no C library. startup.c defines it.
#ifndef KWS_STRING_H_
#define KWS_STRING_H_

#include <stddef.h>

void* memcpy(void* restrict to, const void* restrict from, size_t n);
void* memmove(void* to, const void* from, size_t n);
void* memset(void* to, int value, size_t n);
size_t strlen(const char* text);
int strcmp(const char* a, const char* b);
int strncmp(const char* a, const char* b, size_t n);

#endif
